"""The integer side of a network: voxels of every level and who neighbours whom.

Made once per batch from coordinates alone, on the device, and shared by all layers: stage, tail,
large-kernel block and decoder of one level read the same maps.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxvision.methods.link.levels import LEVELS, LevelCapacities
from jaxvision.ops.sparse_voxels import (
    KernelMap,
    Sites,
    build_kernel_map,
    coarse_sites,
    gather_rows,
    submanifold_map,
)
from jaxvision.ops.voxel_aggregation import BlockMap


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


def build_pyramid(sites: Sites, capacities: LevelCapacities) -> tuple[Level, ...]:
    """Five levels at strides 1, 2, 4, 8 and 16; the finest has no large kernel."""
    rows = jnp.where(sites.valid, jnp.arange(sites.capacity), sites.capacity)
    levels = [Level(sites, submanifold_map(sites, 3), None, rows, None)]
    for number in range(1, LEVELS):
        finer = levels[-1]
        coarse, cell_of = coarse_sites(finer.sites, 2, capacities.rows(number, sites.capacity))
        # Rows count from 1 while composed, so that a read outside (zero) stands for "nowhere".
        moved = gather_rows(cell_of[..., None] + 1, finer.containing)[..., 0]
        containing = jnp.where(moved > 0, moved - 1, coarse.capacity)
        down = build_kernel_map(finer.sites, coarse, (2, 2, 2), (2, 2, 2), (0, 0, 0))
        blocks = capacities.blocks(coarse)
        levels.append(Level(coarse, submanifold_map(coarse, 3), down, containing, blocks))
    return tuple(levels)
