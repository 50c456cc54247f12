"""Sparse convolution on NVIDIA GPUs: an output-stationary product whose rows are gathered as they
are read, so that the neighbours of all taps never lie in memory. Sides are padded to powers of two.

A program owns ROW_TILE (64) output rows by up to CHANNEL_TILE (64) output channels, summed in
float32 registers over all taps, so that an output is written once and nothing is added atomically.
Taps are the outer loop, input channels the inner one: a tap's row numbers are loaded once, and its
(64, 64) piece of weights is shared by all programs of a channel tile through the L2 cache.
The gradient by the weights owns a piece of one tap's matrix instead and runs over rows; the rows
are cut into up to SEGMENTS parts to have enough programs, and the parts are summed afterwards.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.ops.products import multiply
from jaxvision.ops.sparse_voxels.gradients import differentiable
from jaxvision.ops.triton_backend import plgpu

# Output rows and most channels, in and out, of a program.
ROW_TILE = 64
CHANNEL_TILE = 64
# The least side of a matrix that the tensor cores multiply.
MIN_SIDE = 16
# The weights' gradient is summed in this many parts at most, each in order: no atomic adds.
SEGMENTS = 32
SEGMENT_ROWS = 4096


def _accumulate(
    features: Float[Array, "s i c"],
    rows: Int[Array, "s k o"],
    weights: Float[Array, "k c d"],
    run: int,
    interpret: Any,
) -> Float[Array, "s o d"]:
    """sum_k features[rows[k]] @ weights[k], in float32. Rows are gathered: no column has a run."""
    shards, capacity, _ = features.shape
    taps, channels, outputs = weights.shape
    count = rows.shape[2]
    inner, outer = _side(channels), _side(outputs)

    def kernel(features_ref, rows_ref, weights_ref, out_ref):
        shard = pl.program_id(0)
        row = pl.program_id(1) * ROW_TILE + jnp.arange(ROW_TILE)
        column = pl.program_id(2) * outer + jnp.arange(outer)

        def add_tap(tap: Array, total: Array) -> Array:
            read = plgpu.load(rows_ref.at[shard, tap, row], mask=row < count, other=capacity)
            for first in range(0, channels, inner):
                channel = first + jnp.arange(inner)
                values = _gathered(features_ref, shard, read, channel)
                weight = plgpu.load(
                    weights_ref.at[tap, channel[:, None], column[None, :]],
                    mask=(channel < channels)[:, None] & (column < outputs)[None, :],
                    other=0.0,
                )
                total += multiply(values, weight)
            return total

        zeros = jnp.zeros((ROW_TILE, outer), jnp.float32)
        total = jax.lax.fori_loop(0, taps, add_tap, zeros)
        plgpu.store(
            out_ref.at[shard, row[:, None], column[None, :]],
            total.astype(out_ref.dtype),
            mask=(row < count)[:, None] & (column < outputs)[None, :],
        )

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((shards, count, outputs), features.dtype),
        grid=(shards, pl.cdiv(count, ROW_TILE), pl.cdiv(outputs, outer)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(features, rows, channels, outputs),
        interpret=interpret,
    )(features, rows, weights.astype(features.dtype))


def _by_weights(
    features: Float[Array, "s i c"],
    rows: Int[Array, "s k o"],
    cotangent: Float[Array, "s o d"],
    run: int,
    interpret: Any,
) -> Float[Array, "k c d"]:
    """sum over shards and outputs of features[rows[k]]^T @ cotangent, in float32."""
    shards, capacity, channels = features.shape
    taps, count = rows.shape[1:]
    outputs = cotangent.shape[2]
    inner, outer = _side(channels), _side(outputs)
    across = pl.cdiv(outputs, outer)
    tiles = pl.cdiv(max(SEGMENT_ROWS, pl.cdiv(count, SEGMENTS)), ROW_TILE)
    segments = pl.cdiv(count, tiles * ROW_TILE)

    def kernel(features_ref, rows_ref, cotangent_ref, out_ref):
        part, tap = pl.program_id(0), pl.program_id(1)
        shard, segment = part // segments, part % segments
        channel = pl.program_id(2) // across * inner + jnp.arange(inner)
        column = pl.program_id(2) % across * outer + jnp.arange(outer)

        def add_tile(tile: Array, total: Array) -> Array:
            row = (segment * tiles + tile) * ROW_TILE + jnp.arange(ROW_TILE)
            read = plgpu.load(rows_ref.at[shard, tap, row], mask=row < count, other=capacity)
            values = _gathered(features_ref, shard, read, channel)
            given = plgpu.load(
                cotangent_ref.at[shard, row[:, None], column[None, :]],
                mask=(row < count)[:, None] & (column < outputs)[None, :],
                other=0.0,
            )
            return total + multiply(values, given, (0, 0))

        total = jax.lax.fori_loop(0, tiles, add_tile, jnp.zeros((inner, outer), jnp.float32))
        plgpu.store(
            out_ref.at[part, tap, channel[:, None], column[None, :]],
            total,
            mask=(channel < channels)[:, None] & (column < outputs)[None, :],
        )

    sums = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((shards * segments, taps, channels, outputs), jnp.float32),
        grid=(shards * segments, taps, pl.cdiv(channels, inner) * across),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(features, rows, channels, outputs),
        interpret=interpret,
    )(features, rows, cotangent)
    return jnp.sum(sums, axis=0)


def _gathered(features_ref: Any, shard: Array, read: Array, channel: Array) -> Array:
    """(rows, channels) of the features; zeros where there is no neighbour or no such channel."""
    _, capacity, channels = features_ref.shape
    exists = (read >= 0) & (read < capacity)
    return plgpu.load(
        features_ref.at[shard, jnp.where(exists, read, 0)[:, None], channel[None, :]],
        mask=exists[:, None] & (channel < channels)[None, :],
        other=0.0,
    )


def _side(count: int) -> int:
    return min(max(pl.next_power_of_2(count), MIN_SIDE), CHANNEL_TILE)


def _cost(features: Array, rows: Array, channels: int, outputs: int) -> pl.CostEstimate:
    shards, taps, count = rows.shape
    moved = features.nbytes + rows.nbytes + shards * count * outputs * features.dtype.itemsize
    return pl.CostEstimate(
        flops=2 * shards * count * taps * channels * outputs,
        transcendentals=0,
        bytes_accessed=moved,
    )


convolve = differentiable(_accumulate, _by_weights)
