"""Adaptive mixing in plain array functions: the definition of right, on any device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def mix(
    x: Float[Array, "*n p c"],
    channel: Float[Array, "*n c c"],
    point: Float[Array, "*n o p"],
    channel_bias: Float[Array, " c"],
    point_bias: Float[Array, " o"],
    activations: tuple[str, str],
    norm_epsilon: float | None,
) -> Float[Array, "*n o c"]:
    """second(norm(point @ first(norm(x @ channel + channel_bias)) + point_bias)).

    Products accumulate in float32, norms and activations are float32; the result has x's dtype.
    """
    hidden = _multiply("...pc,...cd->...pd", x, channel) + channel_bias.astype(jnp.float32)
    hidden = _finish(hidden, activations[0], norm_epsilon).astype(x.dtype)
    mixed = _multiply("...op,...pc->...oc", point, hidden)
    mixed = mixed + point_bias.astype(jnp.float32)[:, None]
    return _finish(mixed, activations[1], norm_epsilon).astype(x.dtype)


def _multiply(indices: str, a: Array, b: Array) -> Array:
    return jnp.einsum(indices, a, b, preferred_element_type=jnp.float32)


def _finish(x: Array, activation: str, norm_epsilon: float | None) -> Array:
    if norm_epsilon is not None:
        centred = x - jnp.mean(x, axis=(-2, -1), keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=(-2, -1), keepdims=True)
        x = centred * jax.lax.rsqrt(variance + norm_epsilon)
    if activation == "gelu":
        return jax.nn.gelu(x, approximate=False)
    return jax.nn.relu(x) if activation == "relu" else x
