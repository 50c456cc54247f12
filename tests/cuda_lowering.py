"""Programs for NVIDIA GPUs where there is none: lowered, with Triton kernels inside."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, use_abstract_mesh

# Newer JAX asks which GPU a Triton kernel is for.
H100 = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
MESH = AbstractMesh((1,), ("data",), (AxisType.Auto,), abstract_device=H100)
NODE = AbstractMesh((4, 2), ("data", "fsdp"), (AxisType.Auto,) * 2, abstract_device=H100)


def lowered_for_cuda(function: Callable, *arguments: Any, mesh: AbstractMesh = MESH) -> str:
    """The program's text; arguments may be shapes."""
    with use_abstract_mesh(mesh):
        return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()


def triton_kernels(function: Callable, *arguments: Any, mesh: AbstractMesh = MESH) -> int:
    """How many Triton kernels it calls."""
    return lowered_for_cuda(function, *arguments, mesh=mesh).count("__gpu$xla.gpu.triton")
