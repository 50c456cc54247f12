"""Adaptive mixing of one token, in operations that the compilers of kernels have."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.products import multiply

# Highest power first.
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class Sizes(NamedTuple):
    """Points, points after mixing and channels without padding. Padding is zeros: what lies beyond
    is left out of norms, and touches nothing else."""

    p: int
    o: int
    c: int


def mix_token(
    x: Float[Array, "p c"],
    channel: Float[Array, "c c"],
    point: Float[Array, "o p"],
    channel_bias: Float[Array, "1 c"],
    point_bias: Float[Array, "o 1"],
    activations: tuple[str, str],
    norm_epsilon: float | None,
    sizes: Sizes,
) -> Float[Array, "o c"]:
    """`reference.mix` of one token, in float32. Biases are float32."""
    hidden = multiply(x, channel) + channel_bias
    hidden = finish(hidden, activations[0], norm_epsilon, (sizes.p, sizes.c))
    mixed = multiply(point, hidden.astype(x.dtype)) + point_bias
    return finish(mixed, activations[1], norm_epsilon, (sizes.o, sizes.c))


def mix_token_gradients(
    x: Float[Array, "p c"],
    channel: Float[Array, "c c"],
    point: Float[Array, "o p"],
    channel_bias: Float[Array, "1 c"],
    point_bias: Float[Array, "o 1"],
    given: Float[Array, "o c"],
    activations: tuple[str, str],
    norm_epsilon: float | None,
    sizes: Sizes,
) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients by x, channel, point and both biases, in float32.

    given: by the result, float32. What is between the products is computed again; factors of a
    product are rounded to x's dtype.
    """

    def first(hidden: Array) -> Array:
        return finish(hidden, activations[0], norm_epsilon, (sizes.p, sizes.c))

    def second(mixed: Array) -> Array:
        return finish(mixed, activations[1], norm_epsilon, (sizes.o, sizes.c))

    hidden, to_hidden = jax.vjp(first, multiply(x, channel) + channel_bias)
    hidden = hidden.astype(x.dtype)
    _, to_mixed = jax.vjp(second, multiply(point, hidden) + point_bias)
    (by_mixed,) = to_mixed(given)
    by_product = by_mixed.astype(x.dtype)
    (by_hidden,) = to_hidden(multiply(point, by_product, (0, 0)))
    by_first = by_hidden.astype(x.dtype)
    return (
        multiply(by_first, channel, (1, 1)),
        multiply(x, by_first, (0, 0)),
        multiply(by_product, hidden, (1, 1)),
        jnp.sum(by_hidden, axis=0, keepdims=True),
        jnp.sum(by_mixed, axis=1, keepdims=True),
    )


def finish(x: Array, activation: str, norm_epsilon: float | None, real: tuple[int, int]) -> Array:
    """Norm over both axes where there is one, then the activation.  real: rows and columns."""
    if norm_epsilon is not None:
        count = real[0] * real[1]
        if real != x.shape:
            row, column = (jax.lax.broadcasted_iota(jnp.int32, x.shape, axis) for axis in (0, 1))
            inside = ((row < real[0]) & (column < real[1])).astype(x.dtype)
            centred = (x - jnp.sum(x * inside) / count) * inside
        else:
            centred = x - jnp.sum(x) / count
        x = centred * jax.lax.rsqrt(jnp.sum(jnp.square(centred)) / count + norm_epsilon)
    if activation == "gelu":
        return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
    return jnp.maximum(x, 0) if activation == "relu" else x


@jax.custom_jvp
def erf(x: Array) -> Array:
    """The error function within 1.5e-7 (Abramowitz and Stegun, 7.1.26); Triton has none."""
    size = jnp.abs(x)
    t = 1 / (1 + 0.3275911 * size)
    series = jnp.zeros_like(t)
    for coefficient in _ERF:
        series = (series + coefficient) * t
    value = 1 - series * jnp.exp(-size * size)
    return jnp.where(x < 0, -value, value)


@erf.defjvp
def _erf_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    return erf(x), tangent * (2 / math.sqrt(math.pi)) * jnp.exp(-x * x)
