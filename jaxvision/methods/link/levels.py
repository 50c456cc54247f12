"""Static sizes of the levels that a network's voxels are brought to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxvision.ops.sparse_voxels import Sites
from jaxvision.ops.voxel_aggregation import BlockMap, build_block_map

LEVELS = 5


@dataclass(frozen=True)
class LevelCapacities:
    """Rows of a network's five levels, and the extent of its large kernels.

    edge, neighbours_per_axis: s and r of the paper's r x s kernels, in voxels of each level; an
        edge of None is a network without large kernels.
    level_share: capacity of each level as a share of the finest one's. Strided convolutions of a
        detector can make more voxels than they read, so that a share may exceed 1.
    block_share: most blocks of a level as a share of its capacity.
    Small shares save memory and time; what then finds no room is counted by `overflow`.
    """

    edge: int | None = None
    neighbours_per_axis: int = 3
    level_share: tuple[float, ...] = (1.0,) * LEVELS
    block_share: float = 1.0

    def __post_init__(self):
        if len(self.level_share) != LEVELS or self.level_share[0] != 1:
            raise ValueError(f"level_share {self.level_share}: {LEVELS} shares, the first 1")

    def rows(self, level: int, finest: int) -> int:
        """Capacity of a level by its number, where the finest one has `finest` rows."""
        return max(1, round(finest * self.level_share[level]))

    def blocks(self, sites: Sites) -> BlockMap | None:
        """Blocks of one level's voxels; None without large kernels."""
        if self.edge is None:
            return None
        most = max(1, round(sites.capacity * self.block_share))
        return build_block_map(sites, self.edge, self.neighbours_per_axis, most)


def overflow(levels: Sequence[Any]) -> Int[Array, " s"]:
    """Voxels and blocks of all levels of a network that found no room, per shard."""
    total = sum(level.sites.overflow for level in levels)
    blocks = [level.blocks.blocks.overflow for level in levels if level.blocks is not None]
    return total + sum(blocks, jnp.zeros_like(levels[0].sites.overflow))
