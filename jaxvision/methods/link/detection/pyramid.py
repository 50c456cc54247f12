"""The integer side of the detector's backbone: voxels of five levels on a bordered grid.

spconv's convention: a strided convolution makes every site that some voxel reaches, inside a grid
of known extent. Made once per batch on the device and shared by all layers.
"""

from dataclasses import dataclass
from functools import partial

import jax

from jaxvision.methods.link.levels import LEVELS, LevelCapacities
from jaxvision.ops.sparse_voxels import (
    KernelMap,
    Sites,
    build_kernel_map,
    strided_sites,
    submanifold_map,
)
from jaxvision.ops.voxel_aggregation import BlockMap

Triple = tuple[int, int, int]
# (kernel, stride, padding) of the steps between levels, each (x, y, z); the last one flattens.
STEPS: tuple[tuple[Triple, Triple, Triple], ...] = (
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 0)),
    ((1, 1, 3), (1, 1, 2), (0, 0, 0)),
)
STAGES = LEVELS - 1


def level_extents(grid: Triple) -> tuple[Triple, ...]:
    """Extent (x, y, z) of every level over a range of `grid` voxels. The backbone adds one layer in
    z, as published. ValueError where a level has no cell left."""
    x, y, z = grid
    found: list[Triple] = [(x, y, z + 1)]
    for size, stride, padding in STEPS:
        x, y, z = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(found[-1], padding, size, stride, strict=True)
        )
        if min(x, y, z) < 1:
            raise ValueError(f"a grid of {grid} voxels (x, y, z) leaves no cell")
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


def build_detection_levels(
    sites: Sites, grid: Triple, capacities: LevelCapacities
) -> tuple[DetectionLevel, ...]:
    """Four stages at strides 1, 2, 4 and 8, then the level flattened in z.  grid: see
    `level_extents`."""
    extents = level_extents(grid)

    def stage(sites: Sites, down: KernelMap | None, extent: Triple) -> DetectionLevel:
        blocks = capacities.blocks(sites)
        return DetectionLevel(sites, submanifold_map(sites, 3), down, blocks, extent)

    levels = [stage(sites, None, extents[0])]
    for number, (size, stride, padding) in enumerate(STEPS, 1):
        fine = levels[-1]
        coarse, _ = strided_sites(
            fine.sites,
            size,
            stride,
            padding,
            shape=fine.extent,
            capacity=capacities.rows(number, sites.capacity),
        )
        down = build_kernel_map(fine.sites, coarse, size, stride, padding)
        if number < STAGES:
            levels.append(stage(coarse, down, extents[number]))
        else:
            levels.append(DetectionLevel(coarse, None, down, None, extents[number]))
    return tuple(levels)
