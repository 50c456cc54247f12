"""Open questions (section 4.3): answers written word by word, or chosen from a list by how likely
the decoder finds them; and one caption of a few by contrast and matching together."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvision.errors import InputError
from jaxvision.methods.umt.language.word_masking import IGNORED, token_losses

SHARES = (0.7, 0.3)  # of matching and of contrast in a multiple choice


def answer_weights(answers: Sequence[str]) -> dict[str, float]:
    """Each different answer to a question, and the share of its annotators who gave it."""
    return {answer: answers.count(answer) / len(answers) for answer in dict.fromkeys(answers)}


def next_words(ids: Int[Array, "b n"], mask: Bool[Array, "b n"]) -> Int[Array, "b n"]:
    """The label of every token of an answer: the word that follows it, -100 at its end."""
    following = jnp.where(mask, ids, IGNORED)[:, 1:]
    return jnp.pad(following, ((0, 0), (0, 1)), constant_values=IGNORED)


def answer_losses(
    logits: Float[Array, "b n v"], ids: Int[Array, "b n"], mask: Bool[Array, "b n"]
) -> Float[Array, " b"]:
    """The summed cross entropy of each answer's words behind the first token."""
    losses, _ = token_losses(logits, next_words(ids, mask))
    return jnp.sum(losses, axis=1)


def likely_candidates(
    first: Float[Array, "q v"], candidates: Int[Array, "a n"], count: int
) -> tuple[Float[Array, "q k"], Int[Array, "q k"]]:
    """(probability of its first word, its number) of the `count` candidates with the likeliest
    first words.

    first: logits of the word behind [CLS].  candidates: ids, from [CLS] on.
    InputError where there are fewer candidates than asked for.
    """
    if len(candidates) < count:
        raise InputError(f"{len(candidates)} answers to rank: expected at least {count}")
    p = jax.nn.softmax(first.astype(jnp.float32), axis=-1)
    return jax.lax.top_k(p[:, candidates[:, 1]], count)


def ranked_answers(
    first: Float[Array, "q k"], losses: Float[Array, "q k"], numbers: Int[Array, "q k"]
) -> tuple[Float[Array, "q k"], Int[Array, "q k"]]:
    """(probabilities among the candidates, their numbers), best first.

    first, numbers: of `likely_candidates`.  losses: `answer_losses` of the same. The first word
    counts twice, as published.
    """
    scores = jax.nn.softmax(jnp.log(first) - losses, axis=-1)
    order = jnp.argsort(-scores, axis=-1)
    return jnp.take_along_axis(scores, order, axis=-1), jnp.take_along_axis(numbers, order, axis=-1)


def multiple_choice_scores(
    similarity: Float[Array, "q o"],
    matching: Float[Array, "q o 2"],
    temperature: Float[Array, ""] | float,
    shares: tuple[float, float] = SHARES,
) -> tuple[Float[Array, "q o"], Float[Array, "q o"]]:
    """(share of each option by contrast alone, score of each option).

    similarity: cosines of `pair_similarities`.  matching: logits of the matching head.
    temperature: the network's own.  shares: of matching and contrast.
    """
    contrast = jax.nn.softmax(similarity.astype(jnp.float32) / temperature, axis=-1)
    matched = jax.nn.softmax(matching.astype(jnp.float32), axis=-1)[..., 1]
    return contrast, shares[0] * matched + shares[1] * contrast
