"""Between points, voxels, coarser cells and dense grids. All sums are in the rows' order."""

import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvision.ops.sparse_voxels.lookup import find, find_runs
from jaxvision.ops.sparse_voxels.reference import gather_rows
from jaxvision.ops.sparse_voxels.sites import Sites, unique_sites


def quantise(
    points: Float[Array, "s n 3"],
    scan: Int[Array, "s n"],
    valid: Bool[Array, "s n"],
    voxel_size: float | tuple[float, float, float],
    capacity: int,
    rounding: Literal["nearest", "floor"] = "nearest",
) -> tuple[Sites, Int[Array, "s n"], Int[Array, "s v"]]:
    """Points (m) -> voxels, the voxel row of every point, and each voxel's first point.

    rounding: "nearest" (half to even) is LinK's and SPVNAS's, "floor" a detector's. Points that are
    not finite are dropped and counted in `overflow`, as are those beyond the representable range.
    """
    scaled = points.astype(jnp.float32) / jnp.asarray(voxel_size, jnp.float32)
    whole = jnp.round(scaled) if rounding == "nearest" else jnp.floor(scaled)
    # What an int32 cannot hold must stay outside the range, not wrap into it.
    whole = jnp.where(jnp.isfinite(whole), jnp.clip(whole, -(2.0**30), 2.0**30), 2.0**30)
    coords = jnp.concatenate([scan[..., None], whole.astype(jnp.int32)], axis=-1)
    return unique_sites(coords, valid, capacity)


def devoxelise_nearest(
    features: Float[Array, "s v c"], voxel_of_point: Int[Array, "s n"]
) -> Float[Array, "s n c"]:
    """Every point takes the features of its voxel; a point without one takes zeros."""
    return gather_rows(features, voxel_of_point)


def devoxelise_trilinear(
    features: Float[Array, "s v c"],
    sites: Sites,
    points: Float[Array, "s n 3"],
    scan: Int[Array, "s n"],
) -> Float[Array, "s n c"]:
    """Blend of the up to eight voxels around a point, weights rescaled over those that exist.

    points: in units of this level's voxels, voxel centres at whole numbers. A point with no voxel
    around it takes zeros.
    """
    base = jnp.floor(points)
    share = (points - base).astype(jnp.float32)
    corner = jnp.concatenate([scan[..., None], base.astype(jnp.int32)], axis=-1)
    total = jnp.zeros((*points.shape[:2], features.shape[-1]), jnp.float32)
    weight_sum = jnp.zeros(points.shape[:2], jnp.float32)
    for dx, dy in itertools.product((0, 1), repeat=2):
        rows = find_runs(sites, corner + jnp.asarray((0, dx, dy, 0)), 2)
        for dz in (0, 1):
            step = jnp.asarray((dx, dy, dz))
            weight = jnp.prod(jnp.where(step == 1, share, 1 - share), axis=-1)
            weight = jnp.where(rows[..., dz] < sites.capacity, weight, 0)
            total += weight[..., None] * gather_rows(features, rows[..., dz])
            weight_sum += weight
    return (total / jnp.where(weight_sum > 0, weight_sum, 1)[..., None]).astype(features.dtype)


def pool(
    features: Float[Array, "s v c"],
    cell_of: Int[Array, "s v"],
    cells: int,
    reduce: Literal["mean", "max", "sum"] = "mean",
) -> Float[Array, "s m c"]:
    """Features of the voxels (or points) of each of `cells` cells; empty cells are zeros.

    cell_of: cell row of every row; rows outside [0, cells) are left out.
    """

    def one(features: Array, cell_of: Array) -> Array:
        segments = cells + 1  # the last holds what is left out
        index = jnp.clip(cell_of, 0, cells)
        count = jax.ops.segment_sum(jnp.ones(index.shape), index, segments)[:cells, None]
        if reduce == "max":
            highest = jax.ops.segment_max(features, index, segments)[:cells]
            return jnp.where(count > 0, highest, 0)
        total = jax.ops.segment_sum(features.astype(jnp.float32), index, segments)[:cells]
        if reduce == "mean":
            total = total / jnp.maximum(count, 1)
        return total.astype(features.dtype)

    return jax.vmap(one)(features, cell_of)


def dense_grid(
    features: Float[Array, "s v c"], sites: Sites, scans: int, shape: tuple[int, int, int]
) -> Float[Array, "s b z y x c"]:
    """The voxels on a dense grid, zeros elsewhere. shape: its extent (x, y, z) in voxels.

    A bird's-eye map with z folded into the channels is `grid.transpose(0, 1, 3, 4, 5, 2)` reshaped
    to (..., c * z), spconv's order.
    """
    axes = [jnp.arange(n) for n in (scans, shape[2], shape[1], shape[0])]
    scan, z, y, x = jnp.meshgrid(*axes, indexing="ij")
    wanted = jnp.broadcast_to(
        jnp.stack([scan, x, y, z], axis=-1), (features.shape[0], *scan.shape, 4)
    )
    return gather_rows(features, find(sites, wanted))
