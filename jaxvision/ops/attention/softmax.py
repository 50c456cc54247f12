"""Softmax of a few padded tokens, in operations that the compilers of kernels have."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LEAST = -1e30


def softmax(scores: Float[Array, "r m"], tokens: int) -> Float[Array, "r m"]:
    """Over the first `tokens` columns; the padding beyond gets no weight."""
    column = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
    scores = jnp.where(column < tokens, scores, LEAST)
    powers = jnp.exp(scores - jnp.max(scores, axis=1, keepdims=True))
    return powers / jnp.sum(powers, axis=1, keepdims=True)


def softmax_gradient(
    weights: Float[Array, "r m"], given: Float[Array, "r m"]
) -> Float[Array, "r m"]:
    """By the scores, from that by the weights."""
    return weights * (given - jnp.sum(weights * given, axis=1, keepdims=True))
