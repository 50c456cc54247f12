"""What pairs of videos and texts teach (section 3.3): contrast, matching, hidden words.

Draws come as arguments: of negatives after `encode_pairs` has said how likely each is, of hidden
words before anything runs. Functions of a bound `VideoText`, for `nn.apply`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxvision.methods.umt.language.contrast import (
    contrastive_loss,
    draw_negatives,
    matching_loss,
    negative_weights,
    positives,
)
from jaxvision.methods.umt.language.video_text import VideoText
from jaxvision.methods.umt.language.word_masking import masked_word_loss
from jaxvision.training.loss_groups import mean_over_groups


class Texts(NamedTuple):
    """ids of the words; mask: which are not padding."""

    ids: Int[Array, "b n"]
    mask: Bool[Array, "b n"]


class Pairs(NamedTuple):
    """tokens, pooled: of the vision tower.  states: of the text tower.  contrast: the loss.
    texts_of_video, videos_of_text: weights that negatives are drawn by."""

    tokens: Float[Array, "b m e"]
    pooled: Float[Array, "b f e"]
    states: Float[Array, "b n d"]
    contrast: Float[Array, ""]
    texts_of_video: Float[Array, "b b"]
    videos_of_text: Float[Array, "b b"]


class Negatives(NamedTuple):
    """texts: a wrong text of every video.  videos: a wrong video of every text."""

    texts: Int[Array, " b"]
    videos: Int[Array, " b"]


class HiddenWords(NamedTuple):
    """ids: with words hidden.  labels: the hidden words, -100 elsewhere."""

    ids: Int[Array, "b n"]
    labels: Int[Array, "b n"]


def encode_pairs(
    model: VideoText,
    seen: dict[str, Array],
    texts: Texts,
    index: Int[Array, " b"],
    *,
    groups: int = 1,
    deterministic: bool = True,
) -> Pairs:
    """Both towers and their contrast over the whole batch.

    seen: of `VideoText.look`.  index: of the video; a video that comes twice is no negative of
    itself.  groups: `train.draw_groups`.
    """
    states = model.read(texts.ids, texts.mask, deterministic)
    logits = model.logits(seen["pooled"], states, groups)
    same = positives(index)
    fixed = jax.lax.stop_gradient(logits)
    return Pairs(
        tokens=seen["tokens"],
        pooled=seen["pooled"],
        states=states,
        contrast=contrastive_loss(logits, same),
        texts_of_video=negative_weights(fixed, same, groups),
        videos_of_text=negative_weights(fixed.T, same, groups),
    )


def draw_wrong_pairs(rng: PRNGKeyArray, pairs: Pairs, groups: int = 1) -> Negatives:
    """A hard negative of every video and every text, from inside its group."""
    first, second = jax.random.split(rng)
    return Negatives(
        draw_negatives(first, pairs.texts_of_video, groups),
        draw_negatives(second, pairs.videos_of_text, groups),
    )


def fused_losses(
    model: VideoText,
    pairs: Pairs,
    texts: Texts,
    negatives: Negatives,
    hidden: HiddenWords | None = None,
    *,
    loss_groups: int = 1,
    deterministic: bool = True,
) -> dict[str, Float[Array, ""]]:
    """`vtm` of true and wrong pairs; `mlm` where words are hidden.

    loss_groups: each averages over its own hidden words.
    """
    b, n = texts.ids.shape
    # 1. All texts that look at one video, side by side: its keys and values are projected once.
    rows = [(pairs.states, texts.mask)]
    rows.append((pairs.states[negatives.texts], texts.mask[negatives.texts]))
    if hidden is not None:
        rows.append((model.read(hidden.ids, texts.mask, deterministic), texts.mask))
    states, mask = (jnp.stack(x, axis=1) for x in zip(*rows, strict=True))
    fused = model.fuse(
        states.reshape(-1, n, states.shape[-1]),
        mask.reshape(-1, n),
        pairs.tokens,
        deterministic,
    ).reshape(b, len(rows), n, -1)
    # 2. Each text with a wrong video.
    wrong = model.fuse(pairs.states, texts.mask, pairs.tokens[negatives.videos], deterministic)
    # 3. Losses.
    false = jnp.concatenate([wrong, fused[:, 1]])
    losses = {"vtm": matching_loss(model.match(fused[:, 0]), model.match(false))}
    if hidden is not None:
        logits = model.guess(fused[:, 2])
        losses["mlm"] = mean_over_groups(masked_word_loss, loss_groups, logits, hidden.labels)
    return losses
