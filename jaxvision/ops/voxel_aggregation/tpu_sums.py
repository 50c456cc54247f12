"""Sums on a TPU: voxels into blocks, and blocks over their neighbours.

Voxels are sorted by block, so that both passes read contiguous windows. Each is linear in its
values, and serves the backward as well, with other factors.

`sum_voxels`: a program owns TILE (128) blocks and its (TILE, parts * channels) sums stay in VMEM.
The sorted voxels of these blocks are one run of rows in HBM, copied in pieces of PIECE (256) rows
into two slots of VMEM: while one piece is worked on, the next arrives. The sum itself is a product
with the (TILE, PIECE) matrix of who belongs to which block, since a TPU multiplies matrices faster
than it scatters rows; first row and number of pieces come as scalars (SMEM), as a copy's address
must be known before it starts.

`sum_blocks`: a program owns TILE blocks; the window of every column of taps is requested from HBM
at once, before the first is worked on. The (taps, width) tables of cosines and sines are small and
whole in VMEM. The turn by an offset's angle mixes two channels c apart, which costs lane shuffles;
so values times the sine are summed across all taps first and swapped once at the end.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from jaxvision.ops.products import multiply
from jaxvision.ops.voxel_aggregation.forms import Form, has_waves, incoming, outgoing
from jaxvision.ops.voxel_aggregation.tpu_tiles import (
    PARALLEL,
    SEQUENTIAL,
    TABLE_ROWS,
    cost,
    factors_of,
    join_channels,
    scalars,
    working_dtype,
)
from jaxvision.ops.windows import (
    PIECE,
    TILE,
    Reader,
    piece_of,
    reader_scratch,
    window_bounds,
)


def sum_voxels(
    values: Float[Array, "s p c"],
    table: Int[Array, "s 8 p"],
    counts: Int[Array, "s m"],
    weights: Float[Array, "2 8 c"],
    *,
    form: Form,
    taking: bool,
    interpret: Any,
) -> Float[Array, "s b n"]:
    """Sums of factor * value over the voxels of each block, b = m rounded up to tiles.

    taking: with the outgoing factors instead of the incoming ones.
    """
    shards, _, channels = values.shape
    capacity = counts.shape[1]
    tiles = pl.cdiv(capacity, TILE)
    width = len(outgoing(form, 0.0, 0.0)) * channels
    dtype = working_dtype(form, values.dtype)

    def kernel(
        bounds_ref, weights_ref, values_hbm, table_hbm, out_ref, rows_ref, places_ref, arrived
    ):
        shard, tile = pl.program_id(0), pl.program_id(1)
        pieces = bounds_ref[0, 1]

        def copies(piece: Array | int) -> tuple[Any, Any]:
            start = pl.multiple_of(bounds_ref[0, 0] + piece * PIECE, TILE)
            slot = jax.lax.rem(piece, 2)
            return (
                pltpu.make_async_copy(
                    values_hbm.at[shard, pl.ds(start, PIECE)],
                    rows_ref.at[slot],
                    arrived.at[0, slot],
                ),
                pltpu.make_async_copy(
                    table_hbm.at[shard, :, pl.ds(start, PIECE)],
                    places_ref.at[slot],
                    arrived.at[1, slot],
                ),
            )

        def start(piece: Array | int) -> None:
            @pl.when(piece < pieces)
            def _() -> None:
                for copy in copies(piece):
                    copy.start()

        start(jnp.int32(0))
        out_ref[...] = jnp.zeros_like(out_ref)

        def add(piece: Array, _: None) -> None:
            start(piece + 1)
            for copy in copies(piece):
                copy.wait()
            slot = jax.lax.rem(piece, 2)
            places = places_ref[slot]
            cos, sin, position = factors_of(places, weights_ref, form)
            chosen = outgoing(form, cos, sin) if taking else incoming(form, cos, sin, position)
            rows = rows_ref[slot].astype(jnp.float32)
            terms = join_channels([factor * rows for factor in chosen]).astype(dtype)
            block = jax.lax.broadcasted_iota(jnp.int32, (TILE, PIECE), 0) + tile * TILE
            # Rows beyond the last block stay zeros: they stand for blocks that do not exist.
            member = (block == places[:1]) & (block < capacity)
            member = jnp.where(member, 1.0, 0.0).astype(dtype)
            out_ref[...] += multiply(member, terms)

        jax.lax.fori_loop(0, pieces, add, None)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((shards, tiles * TILE, width), jnp.float32),
        grid=(shards, tiles),
        in_specs=[
            scalars(2),
            pl.BlockSpec((2, TABLE_ROWS, channels), lambda s, t: (0, 0, 0)),
            pl.BlockSpec(memory_space=pl.ANY),
            pl.BlockSpec(memory_space=pl.ANY),
        ],
        out_specs=pl.BlockSpec((None, TILE, width), lambda s, t: (s, t, 0)),
        scratch_shapes=[
            pltpu.VMEM((2, PIECE, channels), values.dtype),
            pltpu.VMEM((2, TABLE_ROWS, PIECE), jnp.int32),
            pltpu.SemaphoreType.DMA((2, 2)),
        ],
        compiler_params=PARALLEL,
        cost_estimate=cost(values.shape[:2], TILE * width, width, values, table),
        interpret=interpret,
    )(_voxel_bounds(counts), weights, values, table)


def sum_blocks(
    sums: Float[Array, "s b n"],
    rows: Int[Array, "s k m"],
    run: int,
    cos: Float[Array, "k n"],
    sin: Float[Array, "k n"],
    *,
    channels: int,
    form: Form,
    interpret: Any,
    own: tuple[Array, Array] | None = None,
) -> tuple[Array, ...]:
    """Neighbours' sums, those of cosine and sine turned by the angle of each tap.

    cos, sin: of the angles, for every column of `sums`; 1 and 0 for what is not turned.
    own: two arrays like sums; then also, per tap and column, the sums over all pairs of the
    neighbour's value (unturned) times each of them, "k n".
    """
    shards, blocks, width = sums.shape
    taps, capacity = rows.shape[1:]
    columns, piece = taps // run, piece_of(blocks)
    turns = has_waves(form)

    def kernel(bounds_ref, rows_ref, cos_ref, sin_ref, sums_hbm, *rest):
        own_refs, rest = (rest[:2], rest[2:]) if own else ((), rest)
        out_ref, *pair_refs = rest[: 1 + len(own_refs)]
        across_ref, windows, arrived = rest[1 + len(own_refs) :]
        reader = Reader(bounds_ref, sums_hbm.at[pl.program_id(0)], windows, arrived)
        reader.request()
        out_ref[...] = jnp.zeros_like(out_ref)
        across_ref[...] = jnp.zeros_like(across_ref)

        @pl.when((pl.program_id(0) == 0) & (pl.program_id(1) == 0))
        def _() -> None:
            for ref in pair_refs:
                ref[...] = jnp.zeros_like(ref)

        def column_sum(column: Array, _: None) -> None:
            def use(pick: Any) -> None:
                for tap in range(run):
                    at = pl.ds(column * run + tap, 1)
                    values = pick(rows_ref[at, :])
                    out_ref[...] += values * cos_ref[at, :]
                    if turns:
                        across_ref[...] += values * sin_ref[at, :]
                    for pair_ref, own_ref in zip(pair_refs, own_refs, strict=True):
                        pair_ref[at, :] += jnp.sum(values * own_ref[...], axis=0, keepdims=True)

            reader.read(column, use)

        jax.lax.fori_loop(0, columns, column_sum, None)
        if turns:
            c = channels
            across = across_ref[...]
            swapped = [-across[:, c : 2 * c], across[:, :c]]
            if width > 2 * c:
                swapped.append(jnp.zeros_like(across[:, 2 * c :]))
            out_ref[...] += join_channels(swapped)

    tile = pl.BlockSpec((None, TILE, width), lambda s, t: (s, t, 0))
    table = pl.BlockSpec((taps, width), lambda s, t: (0, 0))
    paired = [jax.ShapeDtypeStruct((taps, width), jnp.float32)] * len(own or ())
    return pl.pallas_call(
        kernel,
        out_shape=[jax.ShapeDtypeStruct(sums.shape, jnp.float32), *paired],
        grid=(shards, blocks // TILE),
        in_specs=[
            scalars(2 * columns),
            pl.BlockSpec((None, taps, TILE), lambda s, t: (s, 0, t)),
            table,
            table,
            pl.BlockSpec(memory_space=pl.ANY),
            *[tile] * len(own or ()),
        ],
        out_specs=[tile, *[table] * len(paired)],
        scratch_shapes=[
            pltpu.VMEM((TILE, width), jnp.float32),
            *reader_scratch(columns, piece, width, jnp.float32),
        ],
        # In order: sums over all pairs are taken over the grid.
        compiler_params=SEQUENTIAL if own else PARALLEL,
        cost_estimate=cost((shards, blocks), taps * piece * width, 0, sums, rows, sums),
        interpret=interpret,
    )(window_bounds(rows, run, capacity, piece), rows, cos, sin, sums, *(own or ()))


def _voxel_bounds(counts: Int[Array, "s m"]) -> Int[Array, "s t 1 2"]:
    """First row (a multiple of TILE) and pieces of the sorted voxels of every tile of blocks."""
    tiles = pl.cdiv(counts.shape[1], TILE)
    ends = jnp.cumsum(counts, axis=1)
    end = ends[:, [min((t + 1) * TILE, counts.shape[1]) - 1 for t in range(tiles)]]
    start = jnp.pad(end[:, :-1], ((0, 0), (1, 0)))
    first = start // TILE * TILE
    pieces = jnp.where(end > start, -(-(end - first) // PIECE), 0)
    return jnp.stack([first, pieces], axis=-1)[:, :, None].astype(jnp.int32)
