"""Sampling on NVIDIA GPUs: one program per block of points, masked gathers of whole rows.

Forward and the points' gradient: grid (maps, blocks of 64 points). A program gathers the 4 or 8
corners of its points one after the other, [64, channels] each from main memory or the cache, and
sums them in float32 registers; channels are padded to a power of two.

The gradient of the map is a product with hat functions (see mosaic_tpu.py): grid (maps, blocks of
32 rows). Each program owns its rows and loops over all points, 64 at a time: no atomic adds, so the
same bits on every run.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float, Int

from jaxvision.ops.sparse_sampling.gradients import differentiable
from jaxvision.ops.triton_backend import plgpu

POINT_BLOCK = 64
ROW_BLOCK = 32
_FAR = -4.0


def _forward(features: Array, where: Array, sizes: tuple[int, ...], interpret: Any) -> Array:
    x, _, channels = features.shape
    m = where.shape[1]

    def kernel(features_ref, where_ref, out_ref):
        picture, point, real, columns, mask = _block(m, channels)
        at = _places(where_ref, picture, point, real, len(sizes))
        total = jnp.zeros(mask.shape, jnp.float32)
        for row, inside, parts, _ in _corners(at, sizes):
            values = plgpu.load(
                features_ref.at[picture, row[:, None], columns[None, :]],
                mask=mask & inside[:, None],
                other=0.0,
            )
            weight = functools.reduce(jnp.multiply, parts)
            total += values.astype(jnp.float32) * weight[:, None]
        place = out_ref.at[picture, point[:, None], columns[None, :]]
        plgpu.store(place, total.astype(out_ref.dtype), mask=mask)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((x, m, channels), features.dtype),
        grid=(x, pl.cdiv(m, POINT_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_gather_cost(features, where, len(sizes)),
        interpret=interpret,
    )(features, where)


def _points_gradient(
    features: Array, where: Array, cotangent: Array, sizes: tuple[int, ...], interpret: Any
) -> Float[Array, "x m d"]:
    channels, m = features.shape[2], where.shape[1]

    def kernel(features_ref, where_ref, cotangent_ref, out_ref):
        picture, point, real, columns, mask = _block(m, channels)
        at = _places(where_ref, picture, point, real, len(sizes))
        given = plgpu.load(
            cotangent_ref.at[picture, point[:, None], columns[None, :]], mask=mask, other=0.0
        ).astype(jnp.float32)
        slopes = [jnp.zeros((POINT_BLOCK,), jnp.float32) for _ in sizes]
        for row, inside, parts, corner in _corners(at, sizes):
            values = plgpu.load(
                features_ref.at[picture, row[:, None], columns[None, :]],
                mask=mask & inside[:, None],
                other=0.0,
            )
            by_weight = jnp.sum(values.astype(jnp.float32) * given, axis=1)
            for axis, high in enumerate(corner):
                others = [part for i, part in enumerate(parts) if i != axis]
                slope = functools.reduce(jnp.multiply, others) * by_weight
                slopes[axis] += slope if high else -slope
        for axis, slope in enumerate(slopes):
            plgpu.store(out_ref.at[picture, point, axis], slope, mask=real)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct(where.shape, jnp.float32),
        grid=(where.shape[0], pl.cdiv(m, POINT_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_gather_cost(features, where, len(sizes)),
        interpret=interpret,
    )(features, where, cotangent)


def _features_gradient(
    features: Array, where: Array, cotangent: Array, sizes: tuple[int, ...], interpret: Any
) -> Float[Array, "x rows c"]:
    x, rows, channels = features.shape
    m = where.shape[1]

    def kernel(where_ref, cotangent_ref, out_ref):
        picture = pl.program_id(0)
        row = pl.program_id(1) * ROW_BLOCK + jnp.arange(ROW_BLOCK)
        columns = jnp.arange(pl.next_power_of_2(channels))
        places, rest = [], row
        for size in sizes:
            places.append((rest % size).astype(jnp.float32))
            rest = rest // size

        def add(step: Int[Array, ""], total: Array) -> Array:
            point = step * POINT_BLOCK + jnp.arange(POINT_BLOCK)
            real = point < m
            at = _places(where_ref, picture, point, real, len(sizes))
            weight = jnp.ones((ROW_BLOCK, POINT_BLOCK), jnp.float32)
            for mine, theirs in zip(places, at, strict=True):
                weight *= jnp.maximum(1 - jnp.abs(theirs[None, :] - mine[:, None]), 0)
            values = plgpu.load(
                cotangent_ref.at[picture, point[:, None], columns[None, :]],
                mask=real[:, None] & (columns < channels)[None, :],
                other=0.0,
            ).astype(jnp.float32)
            return total + plgpu.dot(weight, values, precision=jax.lax.Precision.HIGHEST)

        start = jnp.zeros((ROW_BLOCK, columns.shape[0]), jnp.float32)
        total = jax.lax.fori_loop(0, pl.cdiv(m, POINT_BLOCK), add, start)
        plgpu.store(
            out_ref.at[picture, row[:, None], columns[None, :]],
            total.astype(out_ref.dtype),
            mask=(row < rows)[:, None] & (columns < channels)[None, :],
        )

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct(features.shape, features.dtype),
        grid=(x, pl.cdiv(rows, ROW_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=pl.CostEstimate(
            flops=2 * x * m * rows * channels,
            transcendentals=0,
            bytes_accessed=features.nbytes + where.nbytes + cotangent.nbytes,
        ),
        interpret=interpret,
    )(where, cotangent)


def _block(
    m: int, channels: int
) -> tuple[Array, Int[Array, " p"], Bool[Array, " p"], Int[Array, " c"], Bool[Array, "p c"]]:
    """(map, points, which are real, columns, which of both are) of this program."""
    point = pl.program_id(1) * POINT_BLOCK + jnp.arange(POINT_BLOCK)
    columns = jnp.arange(pl.next_power_of_2(channels))
    real = point < m
    return pl.program_id(0), point, real, columns, real[:, None] & (columns < channels)[None, :]


def _places(
    where_ref: Any, picture: Array, point: Array, real: Array, axes: int
) -> list[Float[Array, " p"]]:
    """Coordinates of the points by axis; those beyond the last lie outside every map."""
    return [
        plgpu.load(where_ref.at[picture, point, axis], mask=real, other=_FAR)
        for axis in range(axes)
    ]


def _corners(
    at: list[Float[Array, " p"]], sizes: tuple[int, ...]
) -> Iterator[tuple[Array, Array, list[Array], tuple[int, ...]]]:
    """(row, whether it is inside, weight by axis, which corner) of each corner around points."""
    low = [jnp.floor(place) for place in at]
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        row, inside, stride = jnp.zeros(at[0].shape, jnp.int32), jnp.ones(at[0].shape, bool), 1
        parts = []
        for high, place, first, size in zip(corner, at, low, sizes, strict=True):
            pixel = first.astype(jnp.int32) + high
            inside &= (pixel >= 0) & (pixel < size)
            row += jnp.clip(pixel, 0, size - 1) * stride
            stride *= size
            parts.append(place - first if high else 1 - (place - first))
        yield row, inside, parts, corner


def _gather_cost(features: Array, where: Array, axes: int) -> pl.CostEstimate:
    x, m, channels = *where.shape[:2], features.shape[-1]
    taps = 2**axes
    return pl.CostEstimate(
        flops=2 * taps * x * m * channels,
        transcendentals=0,
        bytes_accessed=(taps + 1) * x * m * channels * features.dtype.itemsize + where.nbytes,
    )


sample_rows = differentiable(_forward, _features_gradient, _points_gradient)
