"""Means of blocks back to their voxels on a TPU, and the gradients of that.

A program owns TILE (128) sorted voxels. Their blocks are at most TILE neighbouring rows of the
means, so that one window of BLOCK_PIECE rows from HBM holds them all and is read as one piece; the
row of each voxel is picked by a one-hot product. The voxels' table (8, TILE) lies along the lanes:
phases are a product of it with the projection, whose two (8, channels) layouts, for local and for
absolute places, are whole in VMEM. Windows are requested first and the phases computed while they
arrive.

The gradient by the projection is one (2, 8, channels) sum over all programs: it stays in VMEM over
the whole grid, which therefore runs in order on one core.
"""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.ops.products import multiply
from jaxvision.ops.voxel_aggregation.forms import (
    Factor,
    Form,
    has_waves,
    incoming,
    outgoing,
    subtracts_own,
)
from jaxvision.ops.voxel_aggregation.tpu_tiles import (
    PARALLEL,
    SEQUENTIAL,
    TABLE_ROWS,
    cost,
    factors_of,
    scalars,
    split_channels,
    working_dtype,
)
from jaxvision.ops.windows import TILE, Reader, piece_of, reader_scratch, window_bounds

# A tile of voxels sorted by block reads at most a tile of blocks, and what the alignment adds.
BLOCK_PIECE = TILE + 16


def spread(
    means: Float[Array, "s b n"],
    table: Int[Array, "s 8 p"],
    capacity: int,
    weights: Float[Array, "2 8 c"],
    *,
    form: Form,
    dtype: Any,
    interpret: Any,
) -> Float[Array, "s p c"]:
    """Every sorted voxel's sum over the parts of outgoing factor * its block's mean."""
    channels = weights.shape[2]
    working = working_dtype(form, dtype)
    piece = piece_of(means.shape[1], BLOCK_PIECE)

    def kernel(bounds_ref, weights_ref, table_ref, means_hbm, out_ref, windows, arrived):
        reader = Reader(bounds_ref, means_hbm.at[pl.program_id(0)], windows, arrived)
        reader.request()
        cos, sin, _ = factors_of(table_ref[...], weights_ref, form)
        out_ref[...] = jnp.zeros_like(out_ref)

        def use(pick: Any) -> None:
            taken = split_channels(pick(table_ref[:1, :]), channels)
            factors = outgoing(form, cos, sin)
            total = sum_products(factors, taken)
            out_ref[...] += total.astype(out_ref.dtype)

        # Sorted by block: one piece, so that nothing is summed in the result's dtype.
        reader.read(0, use)

    shards, _, voxels = table.shape
    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((shards, voxels, channels), working),
        grid=(shards, voxels // TILE),
        in_specs=[
            scalars(2),
            pl.BlockSpec((2, TABLE_ROWS, channels), lambda s, t: (0, 0, 0)),
            pl.BlockSpec((None, TABLE_ROWS, TILE), lambda s, t: (s, 0, t)),
            pl.BlockSpec(memory_space=pl.ANY),
        ],
        out_specs=pl.BlockSpec((None, TILE, channels), lambda s, t: (s, t, 0)),
        scratch_shapes=reader_scratch(1, piece, means.shape[2], working),
        compiler_params=PARALLEL,
        cost_estimate=cost((shards, voxels), piece * means.shape[2], means.shape[2], means, table),
        interpret=interpret,
    )(
        window_bounds(table[:, :1], 1, capacity, piece),
        weights,
        table,
        means.astype(working),
    )


def spread_back(
    means: Float[Array, "s b n"],
    back: Float[Array, "s b n"],
    values: Float[Array, "s p c"],
    cotangent: Float[Array, "s p c"],
    table: Int[Array, "s 8 p"],
    *,
    capacity: int,
    weights: Float[Array, "2 8 c"],
    form: Form,
    interpret: Any,
) -> tuple[Array, Array]:
    """Gradients by the sorted voxels' values, and by the weights (2, 8, c).

    means: of the forward.  back: the cotangents' sums over each block's listeners.
    """
    channels = weights.shape[2]
    working = working_dtype(form, values.dtype)
    piece = piece_of(means.shape[1], BLOCK_PIECE)

    def kernel(
        bounds_ref, weights_ref, table_ref, values_ref, cotangent_ref, means_hbm, back_hbm,
        out_ref, by_weights_ref, means_windows, means_arrived, back_windows, back_arrived,
    ):  # fmt: skip
        shard = pl.program_id(0)
        readers = (
            Reader(bounds_ref, means_hbm.at[shard], means_windows, means_arrived),
            Reader(bounds_ref, back_hbm.at[shard], back_windows, back_arrived),
        )
        for reader in readers:
            reader.request()

        @pl.when((shard == 0) & (pl.program_id(1) == 0))
        def _() -> None:
            by_weights_ref[...] = jnp.zeros_like(by_weights_ref)

        places = table_ref[...]
        cos, sin, position = factors_of(places, weights_ref, form)
        out_ref[...] = jnp.zeros_like(out_ref)
        given = cotangent_ref[...].astype(jnp.float32)
        own = values_ref[...].astype(jnp.float32)
        where = places.astype(jnp.float32)

        def use_means(pick: Any) -> None:
            if has_waves(form):
                taken = split_channels(pick(places[:1]), channels)
                factors = outgoing(form, cos, sin)
                angle = given * (factors[0] * taken[1] - factors[1] * taken[0])
                by_weights_ref[0] += multiply(where, angle)

        def use_back(pick: Any) -> None:
            taken = split_channels(pick(places[:1]), channels)
            factors = incoming(form, cos, sin, position)
            total = sum_products(factors, taken)
            out_ref[...] += total.astype(out_ref.dtype)
            if has_waves(form):
                by_weights_ref[0] += multiply(where, own * (cos * taken[1] - sin * taken[0]))
            if subtracts_own(form):
                by_weights_ref[1] += multiply(where, own * taken[-1])

        readers[0].read(0, use_means)
        readers[1].read(0, use_back)

    shards, _, voxels = table.shape
    row_tile = pl.BlockSpec((None, TILE, channels), lambda s, t: (s, t, 0))
    weight = pl.BlockSpec((2, TABLE_ROWS, channels), lambda s, t: (0, 0, 0))
    width = means.shape[2]
    return pl.pallas_call(
        kernel,
        out_shape=[
            jax.ShapeDtypeStruct((shards, voxels, channels), working),
            jax.ShapeDtypeStruct(weights.shape, jnp.float32),
        ],
        grid=(shards, voxels // TILE),
        in_specs=[
            scalars(2),
            weight,
            pl.BlockSpec((None, TABLE_ROWS, TILE), lambda s, t: (s, 0, t)),
            row_tile,
            row_tile,
            pl.BlockSpec(memory_space=pl.ANY),
            pl.BlockSpec(memory_space=pl.ANY),
        ],
        out_specs=[row_tile, weight],
        scratch_shapes=reader_scratch(1, piece, width, working) * 2,
        # In order: the weights' gradient is summed over the grid.
        compiler_params=SEQUENTIAL,
        cost_estimate=cost(
            (shards, voxels), 2 * piece * width, 2 * width, means, back, values, cotangent, table
        ),
        interpret=interpret,
    )(
        window_bounds(table[:, :1], 1, capacity, piece),
        weights,
        table,
        values,
        cotangent,
        means.astype(working),
        back.astype(working),
    )


def sum_products(factors: list[Factor], parts: list[Array]) -> Array:
    """The sum of factor * part."""
    return functools.reduce(
        operator.add, (f * part for f, part in zip(factors, parts, strict=True))
    )
