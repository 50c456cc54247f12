"""The largest value along an axis, with a gradient that is finite however XLA fuses."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped


def largest(x: Shaped[Array, "..."], axis: int) -> Shaped[Array, "..."]:
    """`jnp.max` along one axis; the gradient goes to the first place that has it, as PyTorch's.

    The gradient of `jnp.max` looks for the places that equal the result and divides by how many
    there are. Where a fusion computes its operand anew, with other rounding, there may be none, and
    the gradient is 0 / 0. Here the place is found once.
    """
    place = jnp.argmax(jax.lax.stop_gradient(x), axis=axis, keepdims=True)
    along = jax.lax.broadcasted_iota(place.dtype, x.shape, axis % x.ndim)
    return jnp.sum(jnp.where(along == place, x, 0), axis=axis, dtype=x.dtype)
