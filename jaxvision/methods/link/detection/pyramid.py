"""The integer side of the detector's backbone: voxels of five levels on a bordered grid.

spconv's convention: a strided convolution makes every site that some voxel reaches, inside a grid
of known extent. Made once per batch on the device and shared by all layers.
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
    strided_sites,
    submanifold_map,
)
from jaxvision.ops.voxel_aggregation import BlockMap, build_block_map

Triple = tuple[int, int, int]
# (kernel, stride, padding) of the steps between levels, each (x, y, z); the last one flattens.
STEPS: tuple[tuple[Triple, Triple, Triple], ...] = (
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 0)),
    ((1, 1, 3), (1, 1, 2), (0, 0, 0)),
)
STAGES = 4


@dataclass(frozen=True)
class DetectionShape:
    """Static sizes of a detector's levels.

    grid: voxels of the range in x, y, z; the backbone adds one layer in z, as published.
    edge: voxels of a block per axis, on every level; None for a backbone without large kernels.
    level_share: capacity of each of the five levels as a share of the finest one's. A strided
        convolution can make more sites than it reads; what finds no room is counted by `overflow`.
    block_share: most blocks of a level as a share of its capacity.
    """

    grid: Triple
    edge: int | None = 7
    level_share: tuple[float, ...] = (1.0,) * (STAGES + 1)
    block_share: float = 1.0

    def __post_init__(self):
        if len(self.level_share) != STAGES + 1 or self.level_share[0] != 1:
            raise ValueError(f"level_share {self.level_share}: {STAGES + 1} shares, the first 1")

    @property
    def extents(self) -> tuple[Triple, ...]:
        """Extent (x, y, z) of every level. ValueError where a level has no cell left."""
        x, y, z = self.grid
        found: list[Triple] = [(x, y, z + 1)]
        for size, stride, padding in STEPS:
            x, y, z = (
                (n + 2 * p - k) // s + 1
                for n, p, k, s in zip(found[-1], padding, size, stride, strict=True)
            )
            if min(x, y, z) < 1:
                raise ValueError(f"a grid of {self.grid} voxels (x, y, z) leaves no cell")
            found.append((x, y, z))
        return tuple(found)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["sites", "neighbours", "down", "blocks"],
    meta_fields=["extent"],
)
@dataclass(frozen=True)
class DetectionLevel:
    """neighbours: the submanifold 3x3x3 map (None on the flattened level).  down: from the finer
    level (None on the finest).  blocks: of the large kernel.  extent: of the grid (x, y, z)."""

    sites: Sites
    neighbours: KernelMap | None
    down: KernelMap | None
    blocks: BlockMap | None
    extent: Triple


def build_detection_levels(sites: Sites, shape: DetectionShape) -> tuple[DetectionLevel, ...]:
    """Four stages at strides 1, 2, 4 and 8, then the level flattened in z."""

    def stage(sites: Sites, down: KernelMap | None, extent: Triple) -> DetectionLevel:
        blocks = None
        if shape.edge is not None:
            most = max(1, round(shape.block_share * sites.capacity))
            blocks = build_block_map(sites, shape.edge, 3, most)
        return DetectionLevel(sites, submanifold_map(sites, 3), down, blocks, extent)

    levels = [stage(sites, None, shape.extents[0])]
    for number, (size, stride, padding) in enumerate(STEPS, 1):
        fine = levels[-1]
        capacity = max(1, round(shape.level_share[number] * sites.capacity))
        coarse, _ = strided_sites(fine.sites, size, stride, padding, fine.extent, capacity)
        down = build_kernel_map(fine.sites, coarse, size, stride, padding)
        extent = shape.extents[number]
        if number < STAGES:
            levels.append(stage(coarse, down, extent))
        else:
            levels.append(DetectionLevel(coarse, None, down, None, extent))
    return tuple(levels)


def detection_overflow(levels: tuple[DetectionLevel, ...]) -> Int[Array, " s"]:
    """Voxels and blocks of all levels that found no room, per shard."""
    lost = [level.sites.overflow for level in levels]
    lost += [level.blocks.blocks.overflow for level in levels if level.blocks is not None]
    return sum(lost[1:], jnp.asarray(lost[0]))
