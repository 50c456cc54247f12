"""Sparse convolution on NVIDIA's Hopper without Triton: windows of rows and one-hot products.

Hopper's copies move boxes and gather no rows, and its matrix units read shared memory. Voxels are
in lexicographic order, so the rows that a tile reads under the taps of one column lie close
together (`ops.windows`): their window is copied as a box, a one-hot product picks a tap's rows, and
a second product multiplies them by the tap's weights. Half precision only (`ops.hopper`).

A program is one warp group and owns TILE (128) output rows by up to CHANNEL_TILE (64) output
channels, whose float32 sum stays in registers over all taps: written once, nothing added
atomically. A column's row numbers, first piece of its window (PIECE = 128 rows) and weights lie in
one of two slots of shared memory (2 x 42 KB at 64 channels and three taps) and arrive while the
column before is multiplied; a wider window's other pieces come one by one. One-hot matrices and
picked rows go from registers into the products. Columns are the outer loop and a column's taps the
inner one, since a window serves them all. The gradient by the weights owns a piece of one tap's
matrix instead and runs over row tiles, cut into up to SEGMENTS parts that are summed afterwards.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.ops import hopper
from jaxvision.ops.hopper import WarpGroup
from jaxvision.ops.sparse_voxels.gradients import differentiable
from jaxvision.ops.windows import ALIGN, TILE, pad_rows, piece_of, round_up, window_bounds

PIECE = 128
CHANNEL_TILE = 64
# Channels are padded to a multiple of what a product sums at once.
CHANNEL_STEP = 16
SEGMENTS = 32


def _accumulate(
    features: Float[Array, "s i c"],
    rows: Int[Array, "s k o"],
    weights: Float[Array, "k c d"],
    run: int,
    interpret: Any,
) -> Float[Array, "s o d"]:
    """sum_k features[rows[k]] @ weights[k], in float32."""
    _check(features, run)
    plgpu, group = hopper.backend(), WarpGroup(bool(interpret))
    shards, capacity, channels = features.shape
    count, outputs = rows.shape[2], weights.shape[2]
    # 1. Sides of whole tiles.
    depth = round_up(channels, CHANNEL_STEP if channels < CHANNEL_TILE else CHANNEL_TILE)
    width = min(CHANNEL_TILE, round_up(outputs, CHANNEL_STEP))
    features = _padded(pad_rows(features), 2, depth)
    weights = _padded(weights.astype(features.dtype), 1, depth)
    weights = _padded(weights, 2, round_up(outputs, width))
    taps, tiles = weights.shape[0], pl.cdiv(count, TILE)
    columns, piece = taps // run, piece_of(features.shape[1], PIECE)
    bounds = window_bounds(rows, run, capacity, piece)[:, :, 0]
    rows = _padded(rows, 2, tiles * TILE, capacity)

    # 2. The kernel.
    def kernel(features_ref, rows_ref, weights_ref, bounds_ref, out_ref, *scratch):
        numbers, windows, matrices, out, arrived, late = scratch
        shard, tile, part = (jax.lax.axis_index(name) for name in ("shard", "tile", "part"))

        def copy_window(column: Array, slot: Array, number: Array | int, barrier: Any) -> None:
            first = bounds_ref[shard, tile, 2 * column] + number * piece
            copied = features_ref.at[shard, pl.ds(_copied(first, features_ref, piece), piece)]
            plgpu.copy_gmem_to_smem(copied, windows.at[slot], barrier)

        def request(column: Array, slot: Array) -> None:
            these = pl.ds(column * run, run)
            numbers_here = rows_ref.at[shard, these, pl.ds(tile * TILE, TILE)]
            plgpu.copy_gmem_to_smem(numbers_here, numbers.at[slot], arrived.at[slot])
            weights_here = weights_ref.at[these, :, pl.ds(part * width, width)]
            plgpu.copy_gmem_to_smem(weights_here, matrices.at[slot], arrived.at[slot])
            copy_window(column, slot, 0, arrived.at[slot])

        def add_column(column: Array, sum_ref: Any) -> None:
            slot = column % 2

            @pl.when(column + 1 < columns)
            def _request_next() -> None:
                request(column + 1, 1 - slot)

            plgpu.barrier_wait(arrived.at[slot])

            def add_piece(number: Array, _: None) -> None:
                @pl.when(number > 0)
                def _copy_next() -> None:
                    copy_window(column, slot, number, late)
                    plgpu.barrier_wait(late)

                first = bounds_ref[shard, tile, 2 * column] + number * piece
                for tap in range(run):
                    read = group.rows(numbers[slot, tap])
                    place = _place(read, first, _copied(first, features_ref, piece), capacity)
                    hot = group.one_hot(place, piece, windows.dtype)
                    for channel in range(0, depth, CHANNEL_TILE):
                        these = pl.ds(channel, min(depth, CHANNEL_TILE))
                        values = group.product(hot, windows.at[slot, :, these])
                        # Picked, not summed: back in the features' dtype nothing is lost.
                        values = values.astype(windows.dtype)
                        group.multiply(sum_ref, values, matrices.at[slot, tap, these])

            jax.lax.fori_loop(0, bounds_ref[shard, tile, 2 * column + 1], add_piece, None)

        def add_columns(sum_ref: Any) -> Array:
            jax.lax.fori_loop(0, columns, lambda c, _: add_column(c, sum_ref), None)
            return sum_ref[...]

        request(jnp.int32(0), jnp.int32(0))
        total = pl.run_scoped(add_columns, plgpu.ACC((TILE, width), jnp.float32))
        out[...] = total.astype(out.dtype)
        plgpu.commit_smem()
        target = out_ref.at[shard, pl.ds(tile * TILE, TILE), pl.ds(part * width, width)]
        plgpu.copy_smem_to_gmem(out, target)
        plgpu.wait_smem_to_gmem(0)

    dtype = features.dtype
    summed = plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((shards, tiles * TILE, weights.shape[2]), dtype),
        grid=(shards, tiles, weights.shape[2] // width),
        grid_names=("shard", "tile", "part"),
        scratch_types=[
            plgpu.SMEM((2, run, TILE), jnp.int32),
            hopper.matrix((2, piece, depth), dtype),
            hopper.matrix((2, run, depth, width), dtype),
            hopper.matrix((TILE, width), dtype),
            plgpu.Barrier(num_arrivals=3, num_barriers=2),
            plgpu.Barrier(),
        ],
        interpret=interpret,
    )(features, rows, weights, bounds)
    return summed[:, :count, :outputs]


def _by_weights(
    features: Float[Array, "s i c"],
    rows: Int[Array, "s k o"],
    cotangent: Float[Array, "s o d"],
    run: int,
    interpret: Any,
) -> Float[Array, "k c d"]:
    """sum over shards and outputs of features[rows[k]]^T @ cotangent, in float32."""
    _check(features, run)
    plgpu, group = hopper.backend(), WarpGroup(bool(interpret))
    shards, capacity, channels = features.shape
    taps, count = rows.shape[1:]
    outputs = cotangent.shape[2]
    # 1. Sides of whole tiles, and parts of as many row tiles each.
    side, dtype = CHANNEL_TILE, features.dtype
    features = _padded(pad_rows(features), 2, round_up(channels, side))
    cotangent = _padded(cotangent, 2, round_up(outputs, side))
    piece, across = piece_of(features.shape[1], PIECE), cotangent.shape[2] // side
    segments = min(SEGMENTS, pl.cdiv(count, TILE))
    tiles = pl.cdiv(pl.cdiv(count, TILE), segments)
    rows = _padded(rows, 2, segments * tiles * TILE, capacity)
    cotangent = _padded(cotangent, 1, segments * tiles * TILE)
    bounds = window_bounds(rows, run, capacity, piece)[:, :, 0]

    # 2. The kernel.
    def kernel(features_ref, rows_ref, cotangent_ref, bounds_ref, out_ref, *scratch):
        numbers, window, values, given, out, arrived, late = scratch
        part, tap, square = (jax.lax.axis_index(name) for name in ("part", "tap", "square"))
        shard, segment = part // segments, part % segments
        channels_here = pl.ds(square // across * side, side)
        columns_here = pl.ds(square % across * side, side)

        def add_tile(tile: Array, sum_ref: Any) -> None:
            here = pl.ds(tile * TILE, TILE)
            plgpu.copy_gmem_to_smem(rows_ref.at[shard, tap, here], numbers, arrived)
            plgpu.copy_gmem_to_smem(cotangent_ref.at[shard, here, columns_here], given, arrived)
            plgpu.barrier_wait(arrived)

            def add_piece(number: Array, _: None) -> None:
                first = bounds_ref[shard, tile, 2 * (tap // run)] + number * piece
                start = _copied(first, features_ref, piece)
                copied = features_ref.at[shard, pl.ds(start, piece), channels_here]
                plgpu.copy_gmem_to_smem(copied, window, late)
                plgpu.barrier_wait(late)
                place = _place(group.rows(numbers[...]), first, start, capacity)
                hot = group.one_hot(place, piece, dtype)
                values[...] = group.product(hot, window).astype(dtype)
                plgpu.commit_smem()
                group.multiply_transposed(sum_ref, values, given)

            pieces = bounds_ref[shard, tile, 2 * (tap // run) + 1]
            jax.lax.fori_loop(0, pieces, add_piece, None)

        def add_tiles(sum_ref: Any) -> Array:
            tile = segment * tiles
            jax.lax.fori_loop(tile, tile + tiles, lambda t, _: add_tile(t, sum_ref), None)
            return sum_ref[...]

        out[...] = pl.run_scoped(add_tiles, plgpu.ACC((side, side), jnp.float32))
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(out, out_ref.at[part, tap, channels_here, columns_here])
        plgpu.wait_smem_to_gmem(0)

    shape = (features.shape[2], cotangent.shape[2])
    sums = plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((shards * segments, taps, *shape), jnp.float32),
        grid=(shards * segments, taps, shape[0] // side * across),
        grid_names=("part", "tap", "square"),
        scratch_types=[
            plgpu.SMEM((TILE,), jnp.int32),
            hopper.matrix((piece, side), dtype),
            hopper.matrix((TILE, side), dtype),
            hopper.matrix((TILE, side), dtype),
            hopper.matrix((side, side), jnp.float32),
            plgpu.Barrier(num_arrivals=2),
            plgpu.Barrier(),
        ],
        interpret=interpret,
    )(features, rows, cotangent, bounds)
    return jnp.sum(sums, axis=0)[:, :channels, :outputs]


def _copied(first: Array, features_ref: Any, piece: int) -> Array:
    """The first row of a piece's copy, which must end within the features."""
    return pl.multiple_of(jnp.minimum(first, features_ref.shape[1] - piece), ALIGN)


def _place(read: Int[Array, " t"], first: Array, copied: Array, capacity: int) -> Array:
    """Where in a piece's copy each row lies that this piece answers for, else -1."""
    return jnp.where((read >= first) & (read < capacity), read - copied, -1)


def _padded(x: Array, axis: int, size: int, value: int = 0) -> Array:
    pads = [(0, size - x.shape[axis] if number == axis else 0) for number in range(x.ndim)]
    return jnp.pad(x, pads, constant_values=value)


def _check(features: Array, run: int) -> None:
    """InputError for features that a product would round, or that shared memory cannot hold."""
    dtype, channels = features.dtype, features.shape[2]
    if dtype not in (jnp.bfloat16, jnp.float16):
        raise InputError(
            f"sparse_convolution: implementation 'mosaic_gpu' multiplies bfloat16 or float16, and "
            f"would round {dtype.name}"
        )
    most = (hopper.ROOM - 2 * TILE * CHANNEL_TILE) // (4 * (PIECE + run * CHANNEL_TILE))
    if channels > most // CHANNEL_TILE * CHANNEL_TILE:
        raise InputError(
            f"sparse_convolution: implementation 'mosaic_gpu' has no room for {channels} channels "
            f"and {run} taps a column; it takes up to {most // CHANNEL_TILE * CHANNEL_TILE}"
        )


convolve = differentiable(_accumulate, _by_weights)
