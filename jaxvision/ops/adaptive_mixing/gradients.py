"""The gradient rule of adaptive mixing by kernels, and how they meet a mesh."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from jaxvision.ops.dispatch import over_batch


def cost(n: int, p: int, c: int, o: int, itemsize: int, passes: int) -> pl.CostEstimate:
    """Of `passes` times the products and traffic of one forward pass over n tokens."""
    return pl.CostEstimate(
        flops=2 * passes * n * p * c * (c + o),
        transcendentals=passes * n * c * (p + o),
        bytes_accessed=passes * itemsize * n * (p * c + c * c + o * p + o * c),
    )


def differentiable(
    forward: Callable[..., Array], gradients: Callable[..., tuple[Array, ...]]
) -> Callable[..., Float[Array, "n o c"]]:
    """mix(x, channel, point, channel_bias, point_bias, activations, norm_epsilon, interpret=False):
    see `reference.mix`.

    forward(the same): the result.
    gradients(x, channel, point, channel_bias, point_bias, cotangent, activations, norm_epsilon,
        interpret): by the first five; by the biases in float32, summed over these tokens.
    interpret: run the kernels step by step, on any device.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
    def mix(
        x: Float[Array, "n p c"],
        channel: Float[Array, "n c c"],
        point: Float[Array, "n o p"],
        channel_bias: Float[Array, " c"],
        point_bias: Float[Array, " o"],
        activations: tuple[str, str],
        norm_epsilon: float | None,
        interpret: Any = False,
    ) -> Float[Array, "n o c"]:
        def local(*of: Array) -> Array:
            return forward(*of, activations, norm_epsilon, interpret)

        return over_batch(local, x, channel, point, whole=(channel_bias, point_bias))

    def residuals(
        x, channel, point, channel_bias, point_bias, activations, norm_epsilon, interpret
    ):
        kept = (x, channel, point, channel_bias, point_bias)
        return mix(*kept, activations, norm_epsilon, interpret), kept

    def backward(activations, norm_epsilon, interpret, kept, cotangent):
        def local(x, channel, point, cotangent, *biases):
            by = gradients(
                x, channel, point, *biases, cotangent, activations, norm_epsilon, interpret
            )
            # Each device's sum on an axis of its own: the one all-reduce comes after.
            return (*by[:3], *(grad[None] for grad in by[3:]))

        *batched, channel_bias, point_bias = kept
        biases = (channel_bias, point_bias)
        *by_batched, by_channel_bias, by_point_bias = over_batch(
            local, *batched, cotangent, whole=biases
        )
        return (
            *by_batched,
            jnp.sum(by_channel_bias, axis=0).astype(channel_bias.dtype),
            jnp.sum(by_point_bias, axis=0).astype(point_bias.dtype),
        )

    mix.defvjp(residuals, backward)
    return mix
