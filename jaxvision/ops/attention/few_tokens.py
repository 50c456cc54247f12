"""What the kernels for few tokens share: their gradient rule, and the softmax of padded tokens in
operations that the compilers of kernels have."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.attention.reference import LEAST
from jaxvision.ops.dispatch import over_batch

Kernel = Callable[..., list[Array]]


def softmax(scores: Float[Array, "r m"], tokens: int) -> Float[Array, "r m"]:
    """Over the first `tokens` columns; the padding beyond gets no weight."""
    column = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
    scores = jnp.where(column < tokens, scores, LEAST)
    powers = jnp.exp(scores - jnp.max(scores, axis=1, keepdims=True))
    return powers / jnp.sum(powers, axis=1, keepdims=True)


def softmax_gradient(
    weights: Float[Array, "r m"], cotangent: Float[Array, "r m"]
) -> Float[Array, "r m"]:
    """By the scores, from that by the weights."""
    return weights * (cotangent - jnp.sum(weights * cotangent, axis=1, keepdims=True))


def differentiable(forward: Kernel, backward: Kernel) -> Callable[..., Float[Array, "b n h d"]]:
    """attend(query, key, value, interpret=False), split over samples and heads: see `attention`.

    forward(query, key, value, interpret=...): [the result].
    backward(query, key, value, cotangent, interpret=...): gradients by the first three.
    interpret: run the kernels step by step, on any device.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
    def attend(query: Array, key: Array, value: Array, interpret: Any = False) -> Array:
        local = functools.partial(forward, interpret=interpret)
        return over_batch(lambda *of: local(*of)[0], query, key, value, heads=2)

    def residuals(query: Array, key: Array, value: Array, interpret: Any):
        return attend(query, key, value, interpret), (query, key, value)

    def gradients(interpret: Any, kept: tuple[Array, Array, Array], cotangent: Array):
        local = functools.partial(backward, interpret=interpret)
        return tuple(over_batch(local, *kept, cotangent.astype(kept[0].dtype), heads=2))

    attend.defvjp(residuals, gradients)
    return attend
