"""Which input voxel each kernel index reads for each output voxel, and the reverse.

One rule serves both published conventions: out[o] = sum_k in[o * stride - padding + k] @ W[k], with
k = (kx, ky, kz) counted z fastest. torchsparse and spconv differ only in sites, padding and the
order of their weights (`weight_order`).
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxvision.ops.dispatch import platform
from jaxvision.ops.sparse_voxels.existing_pairs import Pairs, list_own_pairs, list_pairs
from jaxvision.ops.sparse_voxels.lookup import find_runs
from jaxvision.ops.sparse_voxels.sites import Sites, unique_sites

Triple = tuple[int, int, int]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["inputs", "outputs", "pairs"],
    meta_fields=["run"],
)
@dataclass(frozen=True)
class KernelMap:
    """Neighbours of a sparse convolution; a row equal to the other side's capacity is missing.

    inputs: the input row of every (kernel index, output row).
    outputs: the output row of every (kernel index, input row). An input meets an output under at
        most one kernel index, so the backward is a gather too: no scatter, the same bits each run.
    run: kernel indices in a row that differ in z alone, whose neighbours lie side by side.
    pairs: the same as lists; None in programs for accelerators, whose kernels read none.
    """

    inputs: Int[Array, "s k o"]
    outputs: Int[Array, "s k i"]
    run: int = 1
    pairs: Pairs | None = None

    def transpose(self) -> "KernelMap":
        """The map of the transposed convolution: the same pairs with roles swapped."""
        pairs = None if self.pairs is None else self.pairs.transpose()
        return KernelMap(self.outputs, self.inputs, self.run, pairs)


def kernel_indices(size: Triple) -> np.ndarray:
    """All (kx, ky, kz), z fastest: the order of this library's weights."""
    return np.array(list(itertools.product(*map(range, size))), np.int32)


def submanifold_padding(size: Triple) -> Triple:
    """Padding that centres an odd size, and lets an even one look towards + (2: 0 and 1)."""
    return ((size[0] - 1) // 2, (size[1] - 1) // 2, (size[2] - 1) // 2)


def weight_order(size: Triple, convention: Literal["torchsparse", "spconv"]) -> np.ndarray:
    """Row of the published kernel (flattened over its volume) for each of our kernel indices.

    torchsparse runs x fastest where the volume is odd, z fastest where it is even; spconv's
    (kz, ky, kx), flattened, runs x fastest always.
    """
    kx, ky, kz = kernel_indices(size).T
    if convention == "torchsparse" and np.prod(size) % 2 == 0:
        return np.arange(len(kx))
    return kx + size[0] * (ky + size[1] * kz)


def build_kernel_map(
    inputs: Sites, outputs: Sites, size: Triple, stride: Triple, padding: Triple
) -> KernelMap:
    """Both directions of the map between two lists of voxels."""
    # 1. The input that each output reads under each index: one search per column (kx, ky), since
    #    voxels that differ in z alone lie side by side.
    columns = kernel_indices((size[0], size[1], 1))
    origin = outputs.coords * jnp.asarray((1, *stride)) - jnp.asarray((0, *padding))
    wanted = origin[:, None] + jnp.asarray(np.pad(columns, ((0, 0), (1, 0))))[:, None]
    found = find_runs(inputs, wanted, size[2])  # s, columns, outputs, kz
    found = jnp.where(outputs.valid[:, None, :, None], found, inputs.capacity)
    to_inputs = jnp.moveaxis(found, 3, 2).reshape(found.shape[0], -1, outputs.capacity)
    # 2. The reverse. Between a list and itself an odd kernel is symmetric: index k reads i from o
    #    where the opposite index reads o from i, and no second search is needed.
    same = inputs is outputs and stride == (1, 1, 1)
    on_cpu = platform() == "cpu"
    if same and all(n % 2 for n in size) and padding == submanifold_padding(size):
        pairs = list_own_pairs(to_inputs, outputs.count) if on_cpu else None
        return KernelMap(to_inputs, to_inputs[:, ::-1], size[2], pairs)
    pairs = list_pairs(to_inputs, inputs.capacity, outputs.count) if on_cpu else None
    reverse = _outputs_of(inputs, outputs, size, stride, padding)
    return KernelMap(to_inputs, reverse, size[2], pairs)


def _outputs_of(
    inputs: Sites, outputs: Sites, size: Triple, stride: Triple, padding: Triple
) -> Int[Array, "s k i"]:
    """The output that reads each input under each kernel index: o = (i + padding - k) / stride."""
    # 1. Outputs that can meet an input: nearest = floor((i + padding) / stride), and as many before
    #    it per axis as the kernel is strides wide (reach). Searched by columns, z ascending.
    shifted = inputs.coords[..., 1:] + jnp.asarray(padding)
    nearest = jnp.floor_divide(shifted, jnp.asarray(stride))
    remainder = shifted - nearest * jnp.asarray(stride)
    reach = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    back = jnp.asarray(list(itertools.product(range(reach[0]), range(reach[1]))))
    lowest = nearest.at[..., 2].add(1 - reach[2])
    wanted = lowest[:, None] - jnp.pad(back, ((0, 0), (0, 1)))[:, None]
    scan = jnp.broadcast_to(inputs.coords[:, None, :, :1], (*wanted.shape[:3], 1))
    found = find_runs(outputs, jnp.concatenate([scan, wanted], axis=-1), reach[2])[..., ::-1]
    found = jnp.moveaxis(found, 3, 2).reshape(found.shape[0], -1, inputs.capacity)
    # 2. Index k meets the output `back_by` before the nearest, where k - remainder is a multiple of
    #    the stride; `which` is that output's place among those found.
    step = jnp.asarray(kernel_indices(size))[:, None] - remainder[:, None]
    back_by, rest = jnp.divmod(step, jnp.asarray(stride))
    meets = jnp.all((rest == 0) & (step >= 0), axis=-1) & inputs.valid[:, None]
    which = jnp.maximum(back_by, 0) @ jnp.asarray((reach[1] * reach[2], reach[2], 1))
    return jnp.where(meets, jnp.take_along_axis(found, which, axis=1), outputs.capacity)


def submanifold_map(sites: Sites, size: int | Triple) -> KernelMap:
    """Stride 1, output sites = input sites (both conventions)."""
    triple = (size, size, size) if isinstance(size, int) else size
    return build_kernel_map(sites, sites, triple, (1, 1, 1), submanifold_padding(triple))


def strided_sites(
    sites: Sites,
    size: Triple,
    stride: Triple,
    padding: Triple,
    shape: Triple | None,
    capacity: int,
) -> tuple[Sites, Triple | None]:
    """Every output site that some input reaches, and the output grid's shape.

    shape: extent of the input grid (x, y, z) in voxels, or None for a grid without borders. The
        output has floor((n + 2 padding - size) / stride) + 1 per axis (spconv).
    """
    # 1. Outputs that an input can reach: see `_outputs_of`.
    shifted = sites.coords[..., 1:] + jnp.asarray(padding)
    nearest = jnp.floor_divide(shifted, jnp.asarray(stride))
    remainder = shifted - nearest * jnp.asarray(stride)
    reach = [range(-(-n // s)) for n, s in zip(size, stride, strict=True)]
    # 2. The output grid's extent.
    extent: Triple | None = None
    if shape is not None:
        x, y, z = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(shape, padding, size, stride, strict=True)
        )
        extent = (x, y, z)
        if min(extent) < 1:
            raise ValueError(f"strided_sites: a grid of {shape} leaves {extent} at stride {stride}")
    # 3. All candidates of all inputs, most of them several times, made unique.
    candidates, exists = [], []
    for back in itertools.product(*reach):
        site = nearest - jnp.asarray(back)
        meets = jnp.all(remainder + jnp.asarray(back) * jnp.asarray(stride) < jnp.asarray(size), -1)
        if extent is not None:
            meets &= jnp.all((site >= 0) & (site < jnp.asarray(extent)), axis=-1)
        candidates.append(jnp.concatenate([sites.coords[..., :1], site], axis=-1))
        exists.append(meets & sites.valid)
    x, y, z = (a * b for a, b in zip(sites.stride, stride, strict=True))
    found, _, _ = unique_sites(
        jnp.concatenate(candidates, axis=1), jnp.concatenate(exists, axis=1), capacity, (x, y, z)
    )
    return found, extent
