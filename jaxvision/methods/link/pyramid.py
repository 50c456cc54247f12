"""The integer side of a network: voxels of every level and who neighbours whom.

Made once per batch from coordinates alone, on the device, and shared by all layers: stage, tail,
large-kernel block and decoder of one level read the same maps.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxvision.ops.sparse_voxels import (
    KernelMap,
    Sites,
    build_kernel_map,
    coarse_sites,
    gather_rows,
    submanifold_map,
)
from jaxvision.ops.voxel_aggregation import BlockMap, build_block_map

LEVELS = 5


@dataclass(frozen=True)
class PyramidShape:
    """Static sizes of a pyramid.

    edge, neighbours_per_axis: s and r of the paper's r x s kernels, in voxels of each level; None
        for a network without large kernels.
    level_share: capacity of each level as a share of the finest one's.
    block_share: most blocks of a level as a share of its capacity.
    A share below 1 saves memory and time; what then finds no room is counted by `overflow`.
    """

    edge: int | None = None
    neighbours_per_axis: int = 3
    level_share: tuple[float, ...] = (1.0,) * LEVELS
    block_share: float = 1.0

    def __post_init__(self):
        if len(self.level_share) != LEVELS or self.level_share[0] != 1:
            raise ValueError(f"level_share {self.level_share}: {LEVELS} shares, the first 1")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["sites", "neighbours", "down", "containing", "blocks"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Level:
    """neighbours: the submanifold 3x3x3 map.  down: from the finer level (None on the finest).
    containing: row here of the voxel that contains each finest voxel.  blocks: of the large kernel.
    """

    sites: Sites
    neighbours: KernelMap
    down: KernelMap | None
    containing: Int[Array, "s v"]
    blocks: BlockMap | None


def build_pyramid(sites: Sites, shape: PyramidShape) -> tuple[Level, ...]:
    """Five levels at strides 1, 2, 4, 8 and 16."""
    rows = jnp.where(sites.valid, jnp.arange(sites.capacity), sites.capacity)
    levels = [Level(sites, submanifold_map(sites, 3), None, rows, None)]
    for share in shape.level_share[1:]:
        finer = levels[-1]
        coarse, cell_of = coarse_sites(finer.sites, 2, _part(sites.capacity, share))
        # Rows count from 1 while composed, so that a read outside (zero) stands for "nowhere".
        moved = gather_rows(cell_of[..., None] + 1, finer.containing)[..., 0]
        containing = jnp.where(moved > 0, moved - 1, coarse.capacity)
        down = build_kernel_map(finer.sites, coarse, (2, 2, 2), (2, 2, 2), (0, 0, 0))
        blocks = None
        if shape.edge is not None:
            blocks = build_block_map(
                coarse,
                shape.edge,
                shape.neighbours_per_axis,
                _part(coarse.capacity, shape.block_share),
            )
        levels.append(Level(coarse, submanifold_map(coarse, 3), down, containing, blocks))
    return tuple(levels)


def _part(capacity: int, share: float) -> int:
    return max(1, round(capacity * share))


def overflow(levels: tuple[Level, ...]) -> Int[Array, " s"]:
    """Voxels and blocks of all levels that found no room, per shard."""
    total = sum(level.sites.overflow for level in levels)
    blocks = [level.blocks.blocks.overflow for level in levels if level.blocks is not None]
    return total + sum(blocks, jnp.zeros_like(levels[0].sites.overflow))
