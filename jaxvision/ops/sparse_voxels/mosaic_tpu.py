"""Sparse convolution on a TPU: windows of the input, rows picked by one-hot products.

Voxels are in lexicographic order, so the taps of one column (same x and y) read rows that lie side
by side. The backward by the features is the same kernel over the reverse map; that by the weights
reads the same windows.

A program owns TILE (128) output rows and up to CHANNEL_TILE (128) output channels, whose float32
sum stays in VMEM over all taps. The weights of all taps for these channels are whole in VMEM: 27 x
64 x 64 floats are 0.4 MB. Features stay in HBM; the program copies the window of each column of
taps into a slot of its own, all requested before the first is used, so that later windows arrive
while earlier ones are multiplied. Rows are picked from a window by a one-hot product, as a TPU has
no fast gather. Columns are the outer loop and the taps of one the inner, since a window serves all
its taps. Programs are independent; only the weights' gradient is summed over shards and row tiles,
in order, in the VMEM block that these programs share.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from jaxvision.ops.products import multiply
from jaxvision.ops.sparse_voxels.gradients import differentiable
from jaxvision.ops.windows import (
    TILE,
    Reader,
    pad_rows,
    piece_of,
    reader_scratch,
    window_bounds,
)

# Output channels of a program: the weights of all taps lie on the chip.
CHANNEL_TILE = 128


def _accumulate(
    features: Float[Array, "s i c"],
    rows: Int[Array, "s k o"],
    weights: Float[Array, "k c d"],
    run: int,
    interpret: Any,
) -> Float[Array, "s o d"]:
    """sum_k features[rows[k]] @ weights[k], in float32."""
    capacity = features.shape[1]
    features = pad_rows(features)
    taps, channels, outputs = weights.shape
    shards, _, count = rows.shape
    columns, piece, width = taps // run, piece_of(features.shape[1]), min(outputs, CHANNEL_TILE)

    def kernel(bounds_ref, rows_ref, weights_ref, features_hbm, out_ref, *scratch):
        sum_ref, windows, arrived = scratch
        reader = Reader(bounds_ref, features_hbm.at[pl.program_id(0)], windows, arrived)
        reader.request()
        sum_ref[...] = jnp.zeros_like(sum_ref)

        def add_column(column: Array, _: None) -> None:
            def use(pick: Any) -> None:
                for tap in range(run):
                    number = column * run + tap
                    values = pick(_existing(rows_ref, number, capacity))
                    # Picked, not summed: back in the features' dtype nothing is lost.
                    sum_ref[...] += multiply(values.astype(windows.dtype), weights_ref[number])

            reader.read(column, use)

        jax.lax.fori_loop(0, columns, add_column, None)
        out_ref[...] = sum_ref[...].astype(out_ref.dtype)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((shards, count, outputs), features.dtype),
        grid=(shards, pl.cdiv(outputs, width), pl.cdiv(count, TILE)),
        in_specs=[
            _scalars(2 * columns),
            pl.BlockSpec((None, taps, TILE), lambda s, d, t: (s, 0, t)),
            pl.BlockSpec((taps, channels, width), lambda s, d, t: (0, 0, d)),
            pl.BlockSpec(memory_space=pl.ANY),
        ],
        out_specs=pl.BlockSpec((None, TILE, width), lambda s, d, t: (s, t, d)),
        scratch_shapes=[
            pltpu.VMEM((TILE, width), jnp.float32),
            *reader_scratch(columns, piece, channels, features.dtype),
        ],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "parallel")
        ),
        cost_estimate=_cost(features, rows, weights),
        interpret=interpret,
    )(
        window_bounds(rows, run, capacity, piece),
        rows,
        weights.astype(features.dtype),
        features,
    )


def _by_weights(
    features: Float[Array, "s i c"],
    rows: Int[Array, "s k o"],
    cotangent: Float[Array, "s o d"],
    run: int,
    interpret: Any,
) -> Float[Array, "k c d"]:
    """sum over shards and outputs of features[rows[k]]^T @ cotangent, in float32."""
    capacity = features.shape[1]
    features = pad_rows(features)
    channels = features.shape[2]
    taps = rows.shape[1]
    shards, count, outputs = cotangent.shape
    columns, piece, width = taps // run, piece_of(features.shape[1]), min(outputs, CHANNEL_TILE)

    def kernel(bounds_ref, rows_ref, cotangent_ref, features_hbm, out_ref, windows, arrived):
        shard, tile = pl.program_id(1), pl.program_id(2)
        reader = Reader(bounds_ref, features_hbm.at[shard], windows, arrived)
        reader.request()

        @pl.when((shard == 0) & (tile == 0))
        def _() -> None:
            out_ref[...] = jnp.zeros_like(out_ref)

        given = cotangent_ref[...]
        if count % TILE:  # the last tile reaches beyond the outputs
            number = jax.lax.broadcasted_iota(jnp.int32, given.shape, 0) + tile * TILE
            given = jnp.where(number < count, given, jnp.zeros_like(given))

        def add_column(column: Array, _: None) -> None:
            def use(pick: Any) -> None:
                for tap in range(run):
                    number = column * run + tap
                    values = pick(_existing(rows_ref, number, capacity))
                    out_ref[number] += multiply(values.astype(windows.dtype), given, (0, 0))

            reader.read(column, use)

        jax.lax.fori_loop(0, columns, add_column, None)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((taps, channels, outputs), jnp.float32),
        grid=(pl.cdiv(outputs, width), shards, pl.cdiv(count, TILE)),
        in_specs=[
            _scalars(2 * columns, lambda d, s, t: (s, t, 0, 0)),
            pl.BlockSpec((None, taps, TILE), lambda d, s, t: (s, 0, t)),
            pl.BlockSpec((None, TILE, width), lambda d, s, t: (s, t, d)),
            pl.BlockSpec(memory_space=pl.ANY),
        ],
        out_specs=pl.BlockSpec((taps, channels, width), lambda d, s, t: (0, 0, d)),
        scratch_shapes=reader_scratch(columns, piece, channels, features.dtype),
        # In order: the gradient is summed over the grid.
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary", "arbitrary")
        ),
        cost_estimate=_cost(features, rows, jnp.zeros((taps, channels, outputs))),
        interpret=interpret,
    )(
        window_bounds(rows, run, capacity, piece),
        rows,
        cotangent,
        features,
    )


def _existing(rows_ref: Any, number: Array, capacity: int) -> Int[Array, "1 t"]:
    """A tap's rows, -1 where there is none: what pads the features must not be read."""
    rows = rows_ref[pl.ds(number, 1), :]
    return jnp.where(rows < capacity, rows, -1)


def _scalars(count: int, place: Any = lambda s, d, t: (s, t, 0, 0)) -> pl.BlockSpec:
    return pl.BlockSpec((None, None, 1, count), place, memory_space=pltpu.SMEM)


def _cost(features: Array, rows: Array, weights: Array) -> pl.CostEstimate:
    taps, channels, outputs = weights.shape
    count = rows.shape[0] * rows.shape[2]
    moved = features.nbytes + rows.nbytes + count * outputs * features.dtype.itemsize
    return pl.CostEstimate(
        flops=2 * count * taps * channels * (TILE + outputs),
        transcendentals=0,
        bytes_accessed=moved,
    )


convolve = differentiable(_accumulate, _by_weights)
