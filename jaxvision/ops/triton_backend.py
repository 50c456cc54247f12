"""Pallas' backend for Triton, on which our kernels for NVIDIA GPUs rest: imported here alone.

JAX 0.11 deprecates it and announces its end. A JAX without it, or one that refuses its kernels,
leaves those operations to their next best implementation, which is said once (`dispatch`).
"""

import importlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, use_abstract_mesh


def _said(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


plgpu: Any = None
_absent: str | None = None
try:
    plgpu = importlib.import_module("jax.experimental.pallas.triton")
except Exception as error:  # whatever that JAX says in its place
    _absent = _said(error)


@cache
def refusal(device_kind: str) -> str | None:
    """Why no Triton kernel can run on such a GPU with this JAX; None where they can.

    The smallest kernel that asks for all we use is lowered for it, which needs no GPU.
    """
    if plgpu is None:
        return _absent
    # JAX lets no mesh of one device take the place of a larger one: in this thread the mesh of a
    # step over several GPUs may be in force.
    with ThreadPoolExecutor(1) as another:
        return another.submit(_refusal, device_kind).result()


def _refusal(device_kind: str) -> str | None:
    device = AbstractDevice(device_kind, None, "gpu")
    mesh = AbstractMesh((1,), ("data",), (AxisType.Auto,), abstract_device=device)
    side = 16
    tile = jax.ShapeDtypeStruct((side, side), jnp.float32)

    def kernel(in_ref: Any, out_ref: Any) -> None:
        number = jnp.arange(side)
        place = number[:, None], number[None, :]
        loaded = plgpu.load(in_ref.at[place], mask=place[0] < side, other=0.0)
        plgpu.store(out_ref.at[place], plgpu.dot(loaded, loaded), mask=place[0] < side)

    try:
        square = pl.pallas_call(
            kernel, out_shape=tile, compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=1)
        )
        with use_abstract_mesh(mesh):
            jax.jit(square).trace(tile).lower(lowering_platforms=("cuda",))
    except Exception as error:  # of whatever type: a kernel that cannot be lowered cannot run
        return _said(error)
    return None
