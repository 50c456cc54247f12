"""The matrix product inside kernels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array


def multiply(a: Array, b: Array, summed: tuple[int, int] = (1, 0)) -> Array:
    """The product of two matrices over an axis of each, in float32; float32 is not rounded."""
    exact = a.dtype == jnp.float32
    return jax.lax.dot_general(
        a,
        b,
        (((summed[0],), (summed[1],)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if exact else jax.lax.Precision.DEFAULT,
        preferred_element_type=jnp.float32,
    )
