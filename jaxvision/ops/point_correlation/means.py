"""The features of coarser clouds."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.grouping import group_points
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours


def neighbour_means(
    fine_xyz: Float[Array, "b n 3"],
    features: Float[Array, "b n c"],
    coarse_xyz: Float[Array, "b m 3"],
    k: int = 3,
) -> Float[Array, "b m c"]:
    """The mean of the features of each coarse point's k nearest fine points."""
    nearest, _ = k_nearest_neighbours(fine_xyz, coarse_xyz, k)
    grouped = group_points(features, nearest)
    return jnp.mean(grouped, axis=2, dtype=jnp.float32).astype(features.dtype)
