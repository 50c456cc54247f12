"""Blocks of voxels and their neighbours: the integer side of LinK's aggregation."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.sparse_voxels import (
    KernelMap,
    Sites,
    coarse_sites,
    gather_rows,
    kernel_indices,
    submanifold_map,
    submanifold_padding,
)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["blocks", "block_of", "local", "order", "counts", "reach_counts", "neighbours"],
    meta_fields=["edge", "neighbours_per_axis"],
)
@dataclass(frozen=True, kw_only=True)
class BlockMap:
    """Which block every voxel lies in, and which blocks it hears from (LinK section 3.2).

    blocks: existing blocks, in units of `edge` voxels.
    block_of: block row of every voxel; `blocks.capacity` for padding.
    local: position x, y, z inside the block, 0 to edge - 1.
    order: voxel rows sorted by block, within one in their own order; what has no block comes last.
    counts: voxels in each block.  reach_counts: voxels in its neighbourhood, its own included.
    neighbours: the block rows at every offset (z fastest), and of every block heard by.
    """

    blocks: Sites
    block_of: Int[Array, "s v"]
    local: Int[Array, "s v 3"]
    order: Int[Array, "s v"]
    counts: Int[Array, "s m"]
    reach_counts: Int[Array, "s m"]
    neighbours: KernelMap
    edge: int
    neighbours_per_axis: int

    @property
    def offsets(self) -> Int[Array, "k 3"]:
        """Offsets of the neighbours in voxels: -1, 0, 1 blocks per axis; for an even number the
        extra block is towards + (2: 0 and 1)."""
        size = (self.neighbours_per_axis,) * 3
        return jnp.asarray((kernel_indices(size) - submanifold_padding(size)) * self.edge)


def build_block_map(
    sites: Sites, edge: int, neighbours_per_axis: int, capacity: int | None = None
) -> BlockMap:
    """Blocks of `edge` voxels per axis of this level.

    capacity: most blocks a shard may have (default: as many as voxels). Voxels of blocks beyond it
        get zeros, and the blocks are counted in `blocks.overflow`.
    """
    if edge < 1 or neighbours_per_axis < 1:
        raise ValueError(f"edge {edge} and neighbours_per_axis {neighbours_per_axis} must be >= 1")
    blocks, block_of = coarse_sites(sites, edge, capacity or sites.capacity)
    counts = jax.vmap(
        lambda index: jnp.zeros((blocks.capacity,), jnp.int32).at[index].add(1, mode="drop")
    )(block_of)
    neighbours = submanifold_map(blocks, neighbours_per_axis)
    reach_counts = jnp.sum(
        gather_rows(counts[..., None], neighbours.inputs)[..., 0], axis=1, dtype=jnp.int32
    )
    return BlockMap(
        blocks=blocks,
        block_of=block_of,
        local=jnp.mod(sites.coords[..., 1:], edge),
        order=jnp.argsort(block_of, axis=1, stable=True).astype(jnp.int32),
        counts=counts,
        reach_counts=reach_counts,
        neighbours=neighbours,
        edge=edge,
        neighbours_per_axis=neighbours_per_axis,
    )


@jax.custom_vjp
def phases(positions: Int[Array, "*n 3"], projection: Float[Array, "c 3"]) -> Float[Array, "*n c"]:
    """projection @ position in float32, term by term: never in a matrix unit's lower precision."""
    x, y, z = jnp.moveaxis(positions.astype(jnp.float32)[..., None], -2, 0)
    weight = projection.astype(jnp.float32)
    return x * weight[:, 0] + y * weight[:, 1] + z * weight[:, 2]


def _keep(positions: Array, projection: Array) -> tuple[Array, tuple[Array, Array]]:
    return phases(positions, projection), (positions, projection)


def _pull(kept: tuple[Array, Array], cotangent: Array) -> tuple[None, Array]:
    positions, projection = kept
    return None, projection_gradient(cotangent, positions).astype(projection.dtype)


phases.defvjp(_keep, _pull)


def weighted_row_sums(
    weights: Float[Array, "k *n"], rows: Float[Array, "*n c"]
) -> Float[Array, "k c"]:
    """Weighted sums over rows, in full float32: a product of two matrices, since XLA is
    slow on a CPU to sum over rows."""
    flat = weights.reshape(len(weights), -1), rows.reshape(-1, rows.shape[-1])
    return jnp.matmul(*flat, precision=jax.lax.Precision.HIGHEST)


def projection_gradient(
    by_phase: Float[Array, "*n c"], places: Int[Array, "*n 3"]
) -> Float[Array, "c 3"]:
    """Gradient by the projection from that by projection @ place."""
    return weighted_row_sums(jnp.moveaxis(places, -1, 0).astype(jnp.float32), by_phase).T
