"""Which implementation of an operation runs, and how its kernels meet a mesh: the one place.

A Pallas call is not partitioned by the compiler, so under a mesh a kernel runs in a `shard_map`
that is manual over every axis: its inputs are split over the batch axes alone, and no collective is
needed around it.
"""

import logging
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import jax
from jax.sharding import PartitionSpec

from jaxvision.errors import InputError, nearest
from jaxvision.ops import hopper, triton_backend

BATCH_AXES = ("data", "fsdp")
HEAD_AXIS = "tensor"
# Our kernels' implementation on each platform that has them.
KERNELS = {"gpu": "triton", "tpu": "mosaic_tpu"}
# What a TPU kernel may hold at once: most of the 16 MB that the compiler grants it by default.
TPU_ROOM = 14 << 20
# Where each kernel can run.
PLATFORMS = {
    "triton": "gpu",
    "mosaic_gpu": "gpu",
    "cudnn": "gpu",
    "mosaic_tpu": "tpu",
    "sparsecore": "tpu",
    "splash": "tpu",
}
WITH_SPARSE_CORES = ("TPU v5", "TPU v5p", "TPU v6 lite", "TPU v6e", "TPU7x")


def platform() -> str:
    """ "cpu", "gpu" or "tpu": of the mesh in force, else of the default device."""
    mesh = jax.sharding.get_abstract_mesh()
    device = getattr(mesh, "abstract_device", None)
    found = jax.default_backend() if mesh.empty or device is None else device.platform
    return "gpu" if found in ("cuda", "rocm") else found


def has_sparse_cores() -> bool:
    """Whether the TPU that the program is for has SparseCores: v5e has none."""
    return _device_kind() in WITH_SPARSE_CORES


def _device_kind() -> str:
    """Of the mesh in force, else of the default device."""
    mesh = jax.sharding.get_abstract_mesh()
    device = getattr(mesh, "abstract_device", None)
    return jax.devices()[0].device_kind if mesh.empty or device is None else device.device_kind


def kernel_or_reference(platform: str) -> str:
    """What operations prefer whose kernels are always worth it."""
    return KERNELS.get(platform, "reference")


def choose(
    operation: str,
    implementation: str | None,
    implementations: Collection[str],
    preferred: Callable[[str], str],
    without_kernels: Callable[[str], str] = lambda platform: "reference",
) -> str:
    """The name of the implementation to run.

    implementation: as the caller asked; None takes `preferred(platform)`, or where that is a kernel
    that this JAX refuses, `without_kernels(platform)`, which the log tells once. InputError for a
    name that is unknown or that cannot run here.
    """
    here = platform()
    if implementation is None:
        name = preferred(here)
        refused = _refused(name)
        if refused:
            name = without_kernels(here)
            _tell(operation, name, refused)
        return name
    if implementation not in implementations:
        known = sorted(implementations)
        raise InputError(
            f"{operation}: implementation {implementation!r}{nearest(implementation, known)}"
        )
    needed = PLATFORMS.get(implementation, here)
    if needed != here:
        raise InputError(
            f"{operation}: implementation {implementation!r} needs a {needed.upper()}, and this "
            f"program is for a {here.upper()}; use 'reference' or None"
        )
    refused = _refused(implementation)
    if refused:
        raise InputError(
            f"{operation}: implementation {implementation!r} does not run here with JAX "
            f"{jax.__version__} ({refused}); use 'reference' or None"
        )
    return implementation


def _refused(implementation: str) -> str | None:
    """Why this JAX, or this GPU, does not run a kernel."""
    backend = {"triton": triton_backend, "mosaic_gpu": hopper}.get(implementation)
    return backend.refusal(_device_kind()) if backend else None


@cache
def _tell(operation: str, implementation: str, refused: str) -> None:
    """Once for each operation."""
    logging.getLogger("jaxvision").warning(
        "%s: no Triton kernels with JAX %s (%s); %r takes their place",
        operation,
        jax.__version__,
        refused,
        implementation,
    )


def over_batch(
    kernel: Callable[..., Any],
    *batched: Any,
    whole: tuple[jax.Array, ...] = (),
    heads: int | None = None,
) -> Any:
    """kernel(*batched, *whole), `batched` split by their leading axis over the mesh in force.

    whole: what every device needs all of (weights without a batch axis).
    heads: the axis of attention heads, of every `batched` and the result, split over `tensor`.
    Where the batch does not divide over the mesh's data and fsdp axes, every device computes all.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return kernel(*batched, *whole)
    axes = tuple(axis for axis in BATCH_AXES if axis in mesh.shape)
    parts = 1
    for axis in axes:
        parts *= mesh.shape[axis]
    split = axes if axes and batched[0].shape[0] % parts == 0 else None
    spec = PartitionSpec(split)
    if heads is not None and batched[0].shape[heads] % mesh.shape.get(HEAD_AXIS, 1) == 0:
        by_head = HEAD_AXIS if HEAD_AXIS in mesh.shape else None
        spec = PartitionSpec(split, *[None] * (heads - 1), by_head)
    specs = (spec,) * len(batched) + (PartitionSpec(),) * len(whole)
    # A kernel says nothing of the axes its result varies over; the specs do.
    mapped = jax.shard_map(kernel, in_specs=specs, out_specs=spec, check_vma=False)
    return mapped(*batched, *whole)
