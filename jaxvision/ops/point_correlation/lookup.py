"""Correlations with the nearest points, and the features of coarser clouds."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.ops.grouping import group_points
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours


def point_correlation(
    first: Float[Array, "b n c"],
    second: Float[Array, "b m c"],
    xyz1: Float[Array, "b n 3"],
    xyz2: Float[Array, "b m 3"],
    k: int = 16,
    *,
    implementation: str | None = None,
) -> Float[Array, "b n k 4"]:
    """(offset xyz2 - xyz1, mean over channels of first * second) of each point's k nearest of the
    second cloud, nearest first, in float32. Differentiable in all four arrays."""
    if first.shape[:2] != xyz1.shape[:2] or second.shape[:2] != xyz2.shape[:2]:
        raise InputError(
            f"point_correlation: features {first.shape}, {second.shape} for points {xyz1.shape}, "
            f"{xyz2.shape}: expected a row for each point"
        )
    if first.shape[2] != second.shape[2]:
        raise InputError(
            f"point_correlation: features {first.shape} and {second.shape}: expected equal channels"
        )
    nearest, _ = k_nearest_neighbours(xyz2, xyz1, k, implementation=implementation)
    xyz1, xyz2 = xyz1.astype(jnp.float32), xyz2.astype(jnp.float32)
    offset = group_points(xyz2, nearest) - xyz1[:, :, None]
    products = first[:, :, None].astype(jnp.float32) * group_points(second, nearest)
    return jnp.concatenate([offset, jnp.mean(products, axis=-1, keepdims=True)], axis=-1)


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
