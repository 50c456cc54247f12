"""Features between points: means of the nearest, weighted by inverse distance (PointNet++,
1706.02413, section 3.4; CamLiFlow, 2303.12017).

    neighbours, weights = interpolation_weights(points, queries)   # once, where points stay
    values = interpolate(features, neighbours, weights)
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.grouping import group_points
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours

# Distances are at least this: a coincident point counts for (nearly) everything.
LEAST_DISTANCE = 1e-8


def interpolation_weights(
    points: Float[Array, "b n d"], queries: Float[Array, "b m d"], k: int = 3
) -> tuple[Int[Array, "b m k"], Float[Array, "b m k"]]:
    """(indices of the k nearest points, weights that sum to 1) of each query, differentiable in
    both clouds; a coincident point passes no gradient."""
    nearest, _ = k_nearest_neighbours(points, queries, k)
    points, queries = points.astype(jnp.float32), queries.astype(jnp.float32)
    squared = jnp.sum(jnp.square(group_points(points, nearest) - queries[:, :, None]), axis=-1)
    apart = squared > LEAST_DISTANCE**2
    distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), LEAST_DISTANCE)
    inverse = 1 / distance
    return nearest, inverse / jnp.sum(inverse, axis=-1, keepdims=True)


def interpolate(
    features: Float[Array, "b n c"],
    neighbours: Int[Array, "b m k"],
    weights: Float[Array, "b m k"],
) -> Float[Array, "b m c"]:
    """The weighted sum of the neighbours' features, in float32 and then the features' dtype."""
    grouped = group_points(features, neighbours).astype(jnp.float32)
    return jnp.sum(grouped * weights[..., None], axis=2).astype(features.dtype)


def point_interpolation(
    points: Float[Array, "b n d"],
    features: Float[Array, "b n c"],
    queries: Float[Array, "b m d"],
    k: int = 3,
) -> Float[Array, "b m c"]:
    """Features of the points, interpolated at queries."""
    return interpolate(features, *interpolation_weights(points, queries, k))


def warp_points(
    xyz1: Float[Array, "b n 3"],
    xyz2: Float[Array, "b m 3"],
    flow: Float[Array, "b n 3"],
    k: int = 3,
) -> Float[Array, "b m 3"]:
    """The second cloud moved back towards the first by the first's flow, which its moved points
    carry."""
    return xyz2 - point_interpolation(xyz1 + flow, flow, xyz2, k)
