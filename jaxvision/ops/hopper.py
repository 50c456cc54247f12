"""Pallas' Mosaic backend for NVIDIA's Hopper, on which kernels stand that need no Triton.

Its matrix units multiply half precision (float32 in pieces: `split`) and take the second factor
from shared memory. No kernel here is a default: none has been timed on a GPU yet.
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

GPUS = ("H100", "H200", "GH200")
# Shared memory that a program can have, bytes.
ROOM = 227 << 10


@cache
def backend() -> Any:
    """Pallas' module: imported by those who use it, since that takes a while."""
    return importlib.import_module("jax.experimental.pallas.mosaic_gpu")


def refusal(device_kind: str) -> str | None:
    """Why no such kernel can run on a GPU with this JAX; None where they can."""
    if not any(name in device_kind for name in GPUS):
        return f"{device_kind!r}, not one of {', '.join(GPUS)}"
    try:
        backend()
    except Exception as error:  # whatever that JAX says in its place
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def split(x: Float[Array, "*n"], pieces: int) -> list[Array]:
    """bfloat16 numbers whose sum is x: one has 8 bits of it, two have 16, three have all 24."""
    found = []
    for _ in range(pieces - 1):
        # By bits: a compiler may take a conversion there and back for nothing.
        bits = jax.lax.bitcast_convert_type(x, jnp.int32) & jnp.int32(-1 << 16)
        head = jax.lax.bitcast_convert_type(bits, jnp.float32)
        found.append(head.astype(jnp.bfloat16))
        x = x - head
    return [*found, x.astype(jnp.bfloat16)]


def matrix(shape: tuple[int, ...], dtype: Any) -> Any:
    """Shared memory whose last two axes lie as the matrix units read them."""
    plgpu, size = backend(), jnp.dtype(dtype).itemsize
    bytes_wide = min(128, shape[-1] * size)
    tiling = plgpu.TilingTransform((8, bytes_wide // size))
    return plgpu.SMEM(shape, dtype, transforms=(tiling, plgpu.SwizzleTransform(bytes_wide)))


class WarpGroup(NamedTuple):
    """Arrays in a warp group's registers, and their products.

    interpreted: JAX's interpreter knows no layouts and multiplies only what lies in shared memory,
        not transposed.
    """

    interpreted: bool

    def rows(self, x: Array) -> Array:
        """A number for each row of a product."""
        return self._laid(x, lambda layout: layout.WGMMA.reduce(1))

    def columns(self, x: Array) -> Array:
        """A number for each column of a product."""
        return self._laid(x, lambda layout: layout.WGMMA.reduce(0))

    def matrix(self, x: Array) -> Array:
        """A product's factor or result."""
        return self._laid(x, lambda layout: layout.WGMMA)

    def _laid(self, x: Array, over: Callable[[Any], Any]) -> Array:
        return x if self.interpreted else backend().layout_cast(x, over(backend().Layout))

    def product(self, left: Array, *right: Any) -> Array:
        """The sum of left @ right, float32. right: in shared memory."""

        def multiplied(sum_ref: Any) -> Array:
            for each in right:
                self.multiply(sum_ref, left, each)
            return sum_ref[...]

        return pl.run_scoped(
            multiplied, backend().ACC((left.shape[0], right[0].shape[1]), jnp.float32)
        )

    def multiply(self, sum_ref: Any, left: Array, right: Any) -> None:
        """sum_ref += left @ right, and wait. right: in shared memory."""
        if self.interpreted:
            _multiply_staged(sum_ref, left, right)
        else:
            backend().wgmma(sum_ref, left, right)
            backend().wgmma_wait(0)

    def multiply_transposed(self, sum_ref: Any, left: Any, right: Any) -> None:
        """sum_ref += left^T @ right, and wait. Both in shared memory."""
        if self.interpreted:
            _multiply_staged(sum_ref, left[...].T, right)
        else:
            backend().wgmma(sum_ref, left.transpose((1, 0)), right)
            backend().wgmma_wait(0)

    def numbers(self, shape: tuple[int, int], axis: int) -> Array:
        """The number of every place's row (axis 0) or column (1)."""
        return self.matrix(jax.lax.broadcasted_iota(jnp.int32, shape, axis))

    def one_hot(self, place: Array, count: int, dtype: Any) -> Array:
        """(rows, count): 1 at each row's place; none where it is not in [0, count)."""
        shape = (place.shape[0], count)
        here = jax.lax.broadcast_in_dim(place, shape, [0]) == self.numbers(shape, 1)
        return jnp.where(here, 1.0, 0.0).astype(dtype)


def _multiply_staged(sum_ref: Any, left: Array, right: Any) -> None:
    def product(left_ref: Any) -> None:
        left_ref[...] = left
        backend().wgmma(sum_ref, left_ref, right)

    pl.run_scoped(product, backend().SMEM(left.shape, left.dtype))
