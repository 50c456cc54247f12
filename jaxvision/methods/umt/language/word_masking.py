"""Masked words (section 3.3; BERT's rule at a rate of one half), and the loss on them."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

IGNORED = -100  # the label of a token that is not asked for


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordMasking:
    """rate: share of tokens that are asked for.  padding, begin, mask: ids of [PAD], [CLS], [MASK].
    vocabulary: random words are ids below it."""

    rate: float = 0.5
    padding: int = 0
    begin: int = 101
    mask: int = 103
    vocabulary: int = 30522


class WordDraws(NamedTuple):
    """What chance decides of every token.

    picked, masked, replaced: uniform in [0, 1).  words: ids of random words.
    """

    picked: Float[Array, "*b n"]
    masked: Float[Array, "*b n"]
    replaced: Float[Array, "*b n"]
    words: Int[Array, "*b n"]


def draw_words(rng: PRNGKeyArray, shape: tuple[int, ...], vocabulary: int) -> WordDraws:
    """Draws for texts of `shape`."""
    picked, masked, replaced, words = jax.random.split(rng, 4)
    return WordDraws(
        jax.random.uniform(picked, shape),
        jax.random.uniform(masked, shape),
        jax.random.uniform(replaced, shape),
        jax.random.randint(words, shape, 0, vocabulary),
    )


def mask_words(
    ids: Int[Array, "b n"], rule: WordMasking, draws: WordDraws
) -> tuple[Int[Array, "b n"], Int[Array, "b n"]]:
    """(the corrupted ids, labels). Of the picked tokens four fifths become [MASK], half of the rest
    a random word; the others stay. Labels are -100 where nothing was picked. Padding and [CLS] are
    spared; unknown words and separators are not."""
    spared = (ids == rule.padding) | (ids == rule.begin)
    picked = (draws.picked < rule.rate) & ~spared
    masked = picked & (draws.masked < 0.8)
    replaced = picked & ~masked & (draws.replaced < 0.5)
    corrupted = jnp.where(masked, rule.mask, jnp.where(replaced, draws.words, ids))
    return corrupted, jnp.where(picked, ids, IGNORED)


def token_losses(
    logits: Float[Array, "b n v"], labels: Int[Array, "b n"]
) -> tuple[Float[Array, "b n"], Bool[Array, "b n"]]:
    """(cross entropy of each token in float32, which tokens count); 0 where none is asked for."""
    asked = labels != IGNORED
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    of_label = jnp.take_along_axis(log_p, jnp.where(asked, labels, 0)[:, :, None], axis=-1)
    return jnp.where(asked, -of_label[:, :, 0], 0), asked


def masked_word_loss(logits: Float[Array, "b n v"], labels: Int[Array, "b n"]) -> Float[Array, ""]:
    """Mean over the tokens asked for; 0 where there are none."""
    losses, asked = token_losses(logits, labels)
    return jnp.sum(losses) / jnp.maximum(jnp.sum(asked), 1)
