"""Sparse voxels: sites, look-up, kernel maps, convolution, and ways to points and dense grids."""

from jaxvision.ops.sparse_voxels.convolution import sparse_convolution
from jaxvision.ops.sparse_voxels.kernel_map import (
    KernelMap,
    build_kernel_map,
    kernel_indices,
    strided_sites,
    submanifold_map,
    submanifold_padding,
    weight_order,
)
from jaxvision.ops.sparse_voxels.lookup import find, find_runs
from jaxvision.ops.sparse_voxels.reference import gather_rows
from jaxvision.ops.sparse_voxels.resampling import (
    dense_grid,
    devoxelise_nearest,
    devoxelise_trilinear,
    pool,
    quantise,
)
from jaxvision.ops.sparse_voxels.sites import Sites, coarse_sites, representable, unique_sites

__all__ = [
    "KernelMap",
    "Sites",
    "build_kernel_map",
    "coarse_sites",
    "dense_grid",
    "devoxelise_nearest",
    "devoxelise_trilinear",
    "find",
    "find_runs",
    "gather_rows",
    "kernel_indices",
    "pool",
    "quantise",
    "representable",
    "sparse_convolution",
    "strided_sites",
    "submanifold_map",
    "submanifold_padding",
    "unique_sites",
    "weight_order",
]
