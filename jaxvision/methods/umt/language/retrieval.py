"""Retrieval between videos and texts (section 4.2): every pair by the contrast of the two towers,
then the best few of every query weighed again by the fusion layers.

Keys and values of a video depend on the video alone. The pairs of both directions are therefore
gathered by video, so that each video is projected once for many texts: eight to nine times less
work than pair by pair, with the same scores.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxvision.methods.umt.language.video_text import VideoText

UNRANKED = -100.0  # the published score of a pair that was not weighed again


def matching_scores(
    model: VideoText,
    tokens: Float[Array, "v m e"],
    states: Float[Array, "v p n d"],
    mask: Bool[Array, "v p n"],
) -> Float[Array, "v p"]:
    """How well each video and each of its p texts match: the logit of "yes", not a probability."""
    v, p, n = mask.shape
    flat = states.reshape(v * p, n, states.shape[-1])
    fused = model.fuse(flat, mask.reshape(v * p, n), tokens)
    return model.match(fused)[:, 1].astype(jnp.float32).reshape(v, p)


def best_pairs(similarity: Float[np.ndarray, "q c"], count: int) -> Bool[np.ndarray, "q c"]:
    """Which `count` candidates of each query have the highest similarity; all where there are no
    more."""
    queries, candidates = similarity.shape
    chosen = np.zeros((queries, candidates), bool)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


class PairBatch(NamedTuple):
    """Videos [v] and texts [v, p] of each by number.  used: which pairs are not filling."""

    videos: Int[np.ndarray, " v"]
    texts: Int[np.ndarray, "v p"]
    used: Bool[np.ndarray, "v p"]


def batches_of_pairs(
    wanted: Bool[np.ndarray, "v t"], videos: int, texts: int
) -> Iterator[PairBatch]:
    """The wanted pairs by video, in batches of one shape: `videos` rows of `texts` pairs. A video
    of more pairs fills several rows; what is left over repeats pair (0, 0)."""
    rows = [
        (video, chosen[start : start + texts])
        for video, row in enumerate(wanted)
        for chosen in [np.flatnonzero(row)]
        for start in range(0, len(chosen), texts)
    ]
    for start in range(0, len(rows), videos):
        batch = PairBatch(
            np.zeros(videos, np.int32),
            np.zeros((videos, texts), np.int32),
            np.zeros((videos, texts), bool),
        )
        for number, (video, chosen) in enumerate(rows[start : start + videos]):
            batch.videos[number] = video
            batch.texts[number, : len(chosen)] = chosen
            batch.used[number, : len(chosen)] = True
        yield batch


class Reranked(NamedTuple):
    """Scores with a row per query; -100 where a pair was not weighed."""

    by_video: Float[np.ndarray, "v t"]
    by_text: Float[np.ndarray, "t v"]


def rerank(
    similarity: Float[np.ndarray, "v t"],
    score: Callable[[Int[Array, " n"], Int[Array, "n p"]], Float[Array, "n p"]],
    count: int,
    *,
    videos: int = 8,
    texts: int = 32,
) -> Reranked:
    """Weigh the `count` best candidates of every video and of every text again.

    score: of videos and texts of each, by number (`scorer`).  videos, texts: shape of a batch.
    """
    # 1. The pairs that either direction wants: one score serves both.
    by_video = best_pairs(similarity, count)
    by_text = best_pairs(similarity.T, count)
    # 2. Their scores. Batches are sent before the first answer is fetched.
    batches = list(batches_of_pairs(by_video | by_text.T, videos, texts))
    answers = [score(jnp.asarray(b.videos), jnp.asarray(b.texts)) for b in batches]
    scores = np.full(similarity.shape, UNRANKED, np.float32)
    for batch, answer in zip(batches, answers, strict=True):
        rows = np.broadcast_to(batch.videos[:, None], batch.texts.shape)
        scores[rows[batch.used], batch.texts[batch.used]] = np.asarray(answer)[batch.used]
    # 3. Each direction sees its own candidates alone.
    return Reranked(
        np.where(by_video, scores, UNRANKED).astype(np.float32),
        np.where(by_text, scores.T, UNRANKED).astype(np.float32),
    )


def scorer(
    apply: Callable[..., Array],
    variables: Any,
    tokens: Float[Array, "v m e"],
    states: Float[Array, "t n d"],
    mask: Bool[Array, "t n"],
) -> Callable[[Int[Array, " n"], Int[Array, "n p"]], Float[Array, "n p"]]:
    """A `score` for `rerank` over features that stay where they are, whole or sharded.

    apply: `matching_scores` of (variables, tokens, states, mask).
    """

    @jax.jit
    def of_pairs(variables, features, videos, texts):
        tokens, states, mask = features
        return apply(variables, tokens[videos], states[texts], mask[texts])

    return lambda videos, texts: of_pairs(variables, (tokens, states, mask), videos, texts)
