"""The sampling in plain JAX: the definition of right, on any device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# What the running minimum of squared distances starts at.
FAR = 1e10


def sample(points: Float[Array, "b n d"], first: int, samples: int) -> Int[Array, "b samples"]:
    """Indices from `first` on; of equally far points the first."""
    b, n, _ = points.shape
    number = jnp.arange(n, dtype=jnp.int32)
    planes = jnp.moveaxis(points, 2, 0)

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        distance, chosen = state
        squared = jnp.zeros((), jnp.float32)
        for plane in planes:
            place = jnp.take_along_axis(plane, chosen[:, None], axis=1)
            squared = squared + jnp.square(plane - place)
        distance = jnp.minimum(distance, squared)
        furthest = jnp.max(distance, axis=1, keepdims=True)
        following = jnp.min(jnp.where(distance == furthest, number, n - 1), axis=1)
        return (distance, following), chosen

    start = jnp.full((b, n), FAR, jnp.float32), jnp.full((b,), first, jnp.int32)
    _, chosen = jax.lax.scan(step, start, None, length=samples)
    return chosen.T
