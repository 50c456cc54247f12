"""Recall of retrieval between videos and texts, as published programs count it."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxvision.errors import InputError

DEPTHS = (1, 5, 10)


def best_ranks(
    scores: Float[np.ndarray, "q c"], truths: Sequence[Sequence[int] | int]
) -> Int[np.ndarray, " q"]:
    """The rank, from 0, of the best placed true candidate of each query.

    truths: each query's true candidates, or the one it has. Of equal scores the later candidate
    comes first. InputError for queries without a truth, or a truth that is no candidate.
    """
    if len(truths) != len(scores):
        raise InputError(f"true candidates of {len(truths)} queries for scores {scores.shape}")
    candidates = scores.shape[1]
    order = np.argsort(scores, axis=1, kind="stable")[:, ::-1]
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(candidates)[None], axis=1)
    best = np.empty(len(scores), np.int64)
    for query, truth in enumerate(truths):
        numbers = np.atleast_1d(np.asarray(truth, np.int64))
        if not len(numbers) or numbers.min() < 0 or numbers.max() >= candidates:
            raise InputError(
                f"query {query}: true candidates {numbers.tolist()[:8]}; expected at least one of "
                f"0 .. {candidates - 1}"
            )
        best[query] = ranks[query, numbers].min()
    return best


def recalls(ranks: Int[np.ndarray, " q"], depths: Iterable[int] = DEPTHS) -> dict[int, float]:
    """Percentage of queries whose truth is among the first `depth`, by depth."""
    return {depth: 100.0 * float(np.mean(ranks < depth)) for depth in depths}


def retrieval_recalls(
    by_video: Float[np.ndarray, "v t"],
    by_text: Float[np.ndarray, "t v"],
    texts_of: Sequence[Sequence[int] | int],
    videos_of: Sequence[Sequence[int] | int],
) -> dict[str, float]:
    """Recalls in percent, rounded to two decimals.

    by_video, by_text: scores, a row per query; they differ where each was re-ranked by itself.
    texts_of, videos_of: the true texts of every video, videos of every text.
    Names as published: txt_r1 and the like retrieve texts (video to text), img_r1 videos (text to
    video); txt_r_mean, img_r_mean, r_mean their means.
    """
    metrics: dict[str, float] = {}
    for name, scores, truths in (("txt", by_video, texts_of), ("img", by_text, videos_of)):
        found = recalls(best_ranks(scores, truths))
        metrics |= {f"{name}_r{depth}": value for depth, value in found.items()}
        metrics[f"{name}_r_mean"] = sum(found.values()) / len(found)
    metrics["r_mean"] = (metrics["txt_r_mean"] + metrics["img_r_mean"]) / 2
    return {name: round(value, 2) for name, value in metrics.items()}
