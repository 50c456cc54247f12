"""Windows of correlations on a TPU: products with whole rows of the second map, of which the
windows are picked by comparisons.

A program owns a tile of 128 pixels of the first map, which lie on lanes. Flow is smooth, so that
their windows touch few rows of the second map; a loop runs over those alone, from the highest
corner to the lowest. One row is a product on the matrix unit, [w, c] x [c, 128]; a window's place
is where the row's number and the corner agree, so no gather is needed, and the transposed products
are the gradients.

Forward and the gradient by the first map: grid (samples, tiles), independent. In VMEM: the second
map of a sample whole, in one buffer (68 x 120 x 256 floats: 8.4 MB), the tile's features [128, c],
corners [2, 128] and windows [s, s, 128]. The gradient by the second map: grid (samples, blocks of 8
of its rows, tiles), tiles last and in order: a block [8, w, c] stays in VMEM until all tiles have
added to it and is written once; no two programs write the same row.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from jaxvision.ops.correlation_lookup.gradients import differentiable
from jaxvision.ops.products import multiply

PIXELS = 128
ROWS = 8


def working_set(size: tuple[int, int], channels: int, itemsize: int, side: int) -> int:
    """Bytes on the chip at once, of the largest of the three kernels."""
    height, width = size
    c, w = -(-channels // 128) * 128, -(-width // 8) * 8
    windows = 2 * 4 * side * -(-side // 8) * 8 * PIXELS
    # Products of a row and features of a tile in two buffers, with a sum.
    tile = 4 * PIXELS * (w + 3 * c) + windows
    return tile + max(height * w * c * itemsize, 2 * 4 * ROWS * w * c)


def _forward(first: Array, second: Array, corners: Array, side: int, interpret: Any) -> Array:
    b, m, c = first.shape
    height, width = second.shape[1:3]

    def kernel(corners_ref, first_ref, second_ref, out_ref):
        x, y = corners_ref[0:1, :], corners_ref[1:2, :]
        out_ref[...] = jnp.zeros_like(out_ref)
        column = jax.lax.broadcasted_iota(jnp.int32, (width, PIXELS), 0)

        def add_row(row: Array, _: None) -> None:
            products = multiply(second_ref[row], first_ref[...], (1, 1))
            picked = [
                jnp.sum(jnp.where(column == x + step, products, 0.0), axis=0, keepdims=True)
                for step in range(side)
            ]
            by_column = jnp.concatenate(picked, axis=0)
            for step in range(side):
                out_ref[step] += jnp.where(row == y + step, by_column, 0.0)

        jax.lax.fori_loop(*_rows_touched(y, side, 0, height), add_row, None)

    windows = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, side, side, m), jnp.float32),
        grid=(b, pl.cdiv(m, PIXELS)),
        in_specs=[_corner_tile(), _feature_tile(c), _whole(height, width, c)],
        out_specs=pl.BlockSpec((None, side, side, PIXELS), lambda i, t: (i, 0, 0, t)),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel")),
        cost_estimate=_cost(first, second, side),
        interpret=interpret,
    )(_padded(corners), first, second)
    return jnp.transpose(windows, (0, 3, 2, 1))


def _by_first(
    first: Array, second: Array, corners: Array, cotangent: Array, interpret: Any
) -> Float[Array, "b m c"]:
    b, m, c = first.shape
    (height, width), side = second.shape[1:3], cotangent.shape[-1]

    def kernel(corners_ref, cotangent_ref, second_ref, out_ref, sum_ref):
        x, y = corners_ref[0:1, :], corners_ref[1:2, :]
        sum_ref[...] = jnp.zeros_like(sum_ref)

        def add_row(row: Array, _: None) -> None:
            spread = _spread(cotangent_ref, x, y, row, width)
            sum_ref[...] += multiply(spread, second_ref[row].astype(jnp.float32), (0, 0))

        jax.lax.fori_loop(*_rows_touched(y, side, 0, height), add_row, None)
        out_ref[...] = sum_ref[...]

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, m, c), jnp.float32),
        grid=(b, pl.cdiv(m, PIXELS)),
        in_specs=[
            _corner_tile(),
            pl.BlockSpec((None, side, side, PIXELS), lambda i, t: (i, 0, 0, t)),
            _whole(height, width, c),
        ],
        out_specs=_feature_tile(c),
        scratch_shapes=[pltpu.VMEM((PIXELS, c), jnp.float32)],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel")),
        cost_estimate=_cost(first, second, side),
        interpret=interpret,
    )(_padded(corners), jnp.transpose(cotangent, (0, 3, 2, 1)), second)


def _by_second(
    first: Array, second: Array, corners: Array, cotangent: Array, interpret: Any
) -> Float[Array, "b h w c"]:
    b, m, c = first.shape
    (height, width), side = second.shape[1:3], cotangent.shape[-1]
    rows = min(ROWS, height)

    def kernel(corners_ref, cotangent_ref, first_ref, out_ref):
        x, y = corners_ref[0:1, :], corners_ref[1:2, :]
        start, tile = pl.program_id(1) * rows, pl.program_id(2)

        @pl.when(tile == 0)
        def _():
            out_ref[...] = jnp.zeros_like(out_ref)

        # Beyond the last pixel lies anything, and anything times zero need not be zero.
        number = jax.lax.broadcasted_iota(jnp.int32, (PIXELS, c), 0) + tile * PIXELS
        mine = jnp.where(number < m, first_ref[...].astype(jnp.float32), 0.0)
        real = jax.lax.broadcasted_iota(jnp.int32, (1, PIXELS), 1) + tile * PIXELS < m

        def add_row(row: Array, _: None) -> None:
            spread = jnp.where(real, _spread(cotangent_ref, x, y, row, width), 0.0)
            out_ref[row - start] += multiply(spread, mine, (1, 0))

        last = jnp.minimum(start + rows, height)
        jax.lax.fori_loop(*_rows_touched(y, side, start, last), add_row, None)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, height, width, c), jnp.float32),
        grid=(b, pl.cdiv(height, rows), pl.cdiv(m, PIXELS)),
        in_specs=[
            pl.BlockSpec((None, 2, PIXELS), lambda i, r, t: (i, 0, t)),
            pl.BlockSpec((None, side, side, PIXELS), lambda i, r, t: (i, 0, 0, t)),
            pl.BlockSpec((None, PIXELS, c), lambda i, r, t: (i, t, 0)),
        ],
        out_specs=pl.BlockSpec((None, rows, width, c), lambda i, r, t: (i, r, 0, 0)),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary")
        ),
        cost_estimate=_cost(first, second, side),
        interpret=interpret,
    )(_padded(corners), jnp.transpose(cotangent, (0, 3, 2, 1)), first)


def _spread(
    cotangent_ref: Any, x: Array, y: Array, row: Array, width: int
) -> Float[Array, "w pixels"]:
    """The gradient of one row of products: each window's values at its columns, zeros elsewhere."""
    side = cotangent_ref.shape[0]
    of_row = jnp.zeros((side, PIXELS), jnp.float32)
    for step in range(side):
        of_row += jnp.where(row == y + step, cotangent_ref[step], 0.0)
    column = jax.lax.broadcasted_iota(jnp.int32, (width, PIXELS), 0)
    spread = jnp.zeros((width, PIXELS), jnp.float32)
    for step in range(side):
        spread += jnp.where(column == x + step, of_row[step : step + 1, :], 0.0)
    return spread


def _rows_touched(
    y: Int[Array, "1 pixels"], side: int, start: Any, end: Any
) -> tuple[Array, Array]:
    """[first, last) of the rows from `start` to `end` that a window of the tile has."""
    return jnp.maximum(jnp.min(y), start), jnp.minimum(jnp.max(y) + side, end)


def _padded(corners: Int[Array, "b m 2"]) -> Int[Array, "b 2 tiles"]:
    """Corners (x, y) by lanes; what pads the last tile touches no further rows."""
    rest = -corners.shape[1] % PIXELS
    return jnp.swapaxes(jnp.pad(corners, ((0, 0), (0, rest), (0, 0)), mode="edge"), 1, 2)


def _corner_tile() -> pl.BlockSpec:
    return pl.BlockSpec((None, 2, PIXELS), lambda i, t: (i, 0, t))


def _feature_tile(channels: int) -> pl.BlockSpec:
    return pl.BlockSpec((None, PIXELS, channels), lambda i, t: (i, t, 0))


def _whole(height: int, width: int, channels: int) -> pl.BlockSpec:
    return pl.BlockSpec(
        (None, height, width, channels),
        lambda i, t: (i, 0, 0, 0),
        pipeline_mode=pl.Buffered(1),
    )


def _cost(first: Array, second: Array, side: int) -> pl.CostEstimate:
    b, m, c = first.shape
    return pl.CostEstimate(
        flops=2 * b * m * 2 * side * second.shape[2] * c,
        transcendentals=0,
        bytes_accessed=first.nbytes + second.nbytes + 4 * b * m * side * side,
    )


window_products = differentiable(_forward, _by_first, _by_second)
