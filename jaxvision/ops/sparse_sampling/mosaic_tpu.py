"""Sampling on a TPU as products with hat functions, forward and backward.

A TPU has no fast gather, but linear interpolation is a product: row k of the map counts
A[p, k] = hat(x_p - x_k) hat(y_p - y_k) at point p, with hat(d) = max(0, 1 - |d|). A tile of A is
made in registers and multiplied with the map; its transpose gives the gradient of the map without a
scatter, and its derivative that of the points.

Grids: (maps, point tiles, row tiles) forward and for the points' gradient, (maps, row tiles, point
tiles) for the map's. What an output block sums over comes last and runs in order, so that the block
stays in VMEM until it is whole and is written once; the other two axes are independent. In VMEM per
step: [256 points, channels], [512 rows, channels], their coordinates, a float32 sum, and A
[256, 512], which exists only here. Points lie on sublanes and rows on lanes, except in the map's
gradient, where A is made transposed.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from jaxvision.ops.sparse_sampling.gradients import differentiable

# Tiles of points and of the map's rows: A is half a megabyte of float32.
POINT_TILE = 256
ROW_TILE = 512
# The coordinate of padding rows: no point reaches them.
_FAR = -4.0
# The last axis of every grid sums into one block.
_IN_ORDER = pltpu.CompilerParams(dimension_semantics=("parallel", "parallel", "arbitrary"))


def _forward(features: Array, where: Array, sizes: tuple[int, ...], interpret: Any) -> Array:
    x, rows, channels = features.shape
    m, axes = where.shape[1:]
    tile_m, tile_r = _tile(m, POINT_TILE, 8), _tile(rows, ROW_TILE, 128)

    def kernel(grid_ref, where_ref, features_ref, out_ref, sum_ref):
        row = pl.program_id(2)

        @pl.when(row == 0)
        def _():
            sum_ref[...] = jnp.zeros_like(sum_ref)

        hats = [_hat(where_ref[0, :, i : i + 1] - grid_ref[i : i + 1, :]) for i in range(axes)]
        values = _inside(features_ref[0], row * tile_r, rows)
        sum_ref[...] += _product(_multiply_all(hats), values)

        @pl.when(row == pl.num_programs(2) - 1)
        def _():
            out_ref[0] = sum_ref[...].astype(out_ref.dtype)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((x, m, channels), features.dtype),
        grid=(x, pl.cdiv(m, tile_m), pl.cdiv(rows, tile_r)),
        in_specs=[
            pl.BlockSpec((axes, tile_r), lambda i, p, r: (0, r)),
            pl.BlockSpec((1, tile_m, axes), lambda i, p, r: (i, p, 0)),
            pl.BlockSpec((1, tile_r, channels), lambda i, p, r: (i, r, 0)),
        ],
        out_specs=pl.BlockSpec((1, tile_m, channels), lambda i, p, r: (i, p, 0)),
        scratch_shapes=[pltpu.VMEM((tile_m, channels), jnp.float32)],
        compiler_params=_IN_ORDER,
        cost_estimate=_cost(features, where),
        interpret=interpret,
    )(_row_places(sizes, pl.cdiv(rows, tile_r) * tile_r), where, features)


def _points_gradient(
    features: Array, where: Array, cotangent: Array, sizes: tuple[int, ...], interpret: Any
) -> Float[Array, "x m d"]:
    """Gradient by the points: (cotangent @ map^T) against the derivative of A."""
    x, rows, channels = features.shape
    m, axes = where.shape[1:]
    tile_m, tile_r = _tile(m, POINT_TILE, 8), _tile(rows, ROW_TILE, 128)

    def kernel(grid_ref, where_ref, features_ref, cotangent_ref, out_ref):
        row = pl.program_id(2)

        @pl.when(row == 0)
        def _():
            out_ref[...] = jnp.zeros_like(out_ref)

        distances = [where_ref[0, :, i : i + 1] - grid_ref[i : i + 1, :] for i in range(axes)]
        hats = [_hat(d) for d in distances]
        values = _inside(features_ref[0], row * tile_r, rows)
        by_weight = jax.lax.dot_general(
            cotangent_ref[0],
            values,
            (((1,), (1,)), ((), ())),
            precision=_precision(values.dtype),
            preferred_element_type=jnp.float32,
        )
        column = jax.lax.broadcasted_iota(jnp.int32, (tile_m, axes), 1)
        total = jnp.zeros((tile_m, axes), jnp.float32)
        for axis in range(axes):
            others = _multiply_all([hat for i, hat in enumerate(hats) if i != axis])
            slope = by_weight * _slope(distances[axis]) * others
            total += jnp.where(column == axis, jnp.sum(slope, axis=1, keepdims=True), 0)
        out_ref[0] += total

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((x, m, axes), jnp.float32),
        grid=(x, pl.cdiv(m, tile_m), pl.cdiv(rows, tile_r)),
        in_specs=[
            pl.BlockSpec((axes, tile_r), lambda i, p, r: (0, r)),
            pl.BlockSpec((1, tile_m, axes), lambda i, p, r: (i, p, 0)),
            pl.BlockSpec((1, tile_r, channels), lambda i, p, r: (i, r, 0)),
            pl.BlockSpec((1, tile_m, channels), lambda i, p, r: (i, p, 0)),
        ],
        out_specs=pl.BlockSpec((1, tile_m, axes), lambda i, p, r: (i, p, 0)),
        compiler_params=_IN_ORDER,
        cost_estimate=_cost(features, where),
        interpret=interpret,
    )(_row_places(sizes, pl.cdiv(rows, tile_r) * tile_r), where, features, cotangent)


def _features_gradient(
    features: Array, where: Array, cotangent: Array, sizes: tuple[int, ...], interpret: Any
) -> Float[Array, "x rows c"]:
    """Gradient by the map: A^T @ cotangent, with A made as its transpose."""
    x, rows, channels = features.shape
    m, axes = where.shape[1:]
    tile_m, tile_r = _tile(m, POINT_TILE, 128), _tile(rows, ROW_TILE, 8)

    def kernel(grid_ref, where_ref, cotangent_ref, out_ref, sum_ref):
        point = pl.program_id(2)

        @pl.when(point == 0)
        def _():
            sum_ref[...] = jnp.zeros_like(sum_ref)

        places = where_ref[0]
        number = jax.lax.broadcasted_iota(jnp.int32, places.shape, 1) + point * tile_m
        places = jnp.where(number < m, places, 4 * _FAR)
        hats = [_hat(places[i : i + 1, :] - grid_ref[:, i : i + 1]) for i in range(axes)]
        values = _inside(cotangent_ref[0], point * tile_m, m)
        sum_ref[...] += _product(_multiply_all(hats), values)

        @pl.when(point == pl.num_programs(2) - 1)
        def _():
            out_ref[0] = sum_ref[...].astype(out_ref.dtype)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct(features.shape, features.dtype),
        grid=(x, pl.cdiv(rows, tile_r), pl.cdiv(m, tile_m)),
        in_specs=[
            pl.BlockSpec((tile_r, axes), lambda i, r, p: (r, 0)),
            pl.BlockSpec((1, axes, tile_m), lambda i, r, p: (i, 0, p)),
            pl.BlockSpec((1, tile_m, channels), lambda i, r, p: (i, p, 0)),
        ],
        out_specs=pl.BlockSpec((1, tile_r, channels), lambda i, r, p: (i, r, 0)),
        scratch_shapes=[pltpu.VMEM((tile_r, channels), jnp.float32)],
        compiler_params=_IN_ORDER,
        cost_estimate=_cost(features, where),
        interpret=interpret,
    )(
        _row_places(sizes, pl.cdiv(rows, tile_r) * tile_r).T,
        jnp.swapaxes(where, 1, 2),
        cotangent,
    )


def _tile(count: int, most: int, step: int) -> int:
    """A tile of at most `most`, a multiple of `step`, or all of `count` where that is less."""
    return count if count <= most else most // step * step


def _row_places(sizes: tuple[int, ...], padded: int) -> Float[np.ndarray, "d rows"]:
    """(x, y[, t]) of each row of the map; rows of the padding are far from everything."""
    places = np.indices(sizes[::-1]).reshape(len(sizes), -1)[::-1]
    rest = padded - places.shape[1]
    return np.pad(places, ((0, 0), (0, rest)), constant_values=_FAR).astype(np.float32)


def _hat(distance: Array) -> Array:
    return jnp.maximum(1 - jnp.abs(distance), 0)


def _slope(distance: Array) -> Array:
    """The derivative of the hat that a difference of the two neighbours has, also at whole pixels:
    -1 on [0, 1), +1 on [-1, 0)."""
    near = jnp.where(distance >= 0, -1.0, 1.0)
    return jnp.where((distance >= -1) & (distance < 1), near, 0.0)


def _multiply_all(factors: list[Array]) -> Array:
    return functools.reduce(jnp.multiply, factors)


def _inside(block: Array, first: Array, count: int) -> Array:
    """A block with zeros in rows beyond `count`, whose contents are undefined."""
    if count % block.shape[0] == 0:
        return block
    number = jax.lax.broadcasted_iota(jnp.int32, block.shape, 0) + first
    return jnp.where(number < count, block, jnp.zeros_like(block))


def _precision(dtype: jnp.dtype) -> jax.lax.Precision:
    exact = dtype == jnp.float32
    return jax.lax.Precision.HIGHEST if exact else jax.lax.Precision.DEFAULT


def _product(weights: Array, values: Array) -> Array:
    """weights @ values in float32. With bfloat16 values the float32 weights go in two halves, since
    rounding them would move the points."""
    multiply = functools.partial(jnp.dot, preferred_element_type=jnp.float32)
    if values.dtype == jnp.float32:
        return multiply(weights, values, precision=jax.lax.Precision.HIGHEST)
    high = weights.astype(values.dtype)
    low = (weights - high.astype(jnp.float32)).astype(values.dtype)
    return multiply(high, values) + multiply(low, values)


def _cost(features: Array, where: Array) -> pl.CostEstimate:
    x, rows, channels = features.shape
    m = where.shape[1]
    moved = features.nbytes + where.nbytes + x * m * channels * features.dtype.itemsize
    return pl.CostEstimate(
        flops=2 * x * m * rows * channels, transcendentals=0, bytes_accessed=moved
    )


sample_rows = differentiable(_forward, _features_gradient, _points_gradient)
