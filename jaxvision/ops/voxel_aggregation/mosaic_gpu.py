"""LinK's aggregation on NVIDIA's Hopper without Triton: one-hot products on the matrix units.

Three passes each way, as on a TPU: voxels into blocks, blocks over their neighbours, back to the
voxels. Voxels are sorted by block beforehand, by XLA, since Hopper's copies move boxes and gather
no rows; a pass then reads runs of rows, and which of them belong together is a matrix of ones and
zeros. The backward is the same operator transposed. A program owns what it writes, and every sum
has one order: the same bits in each run.

Phases of x and y are those inside a block, and those of z are the scan's own: then the neighbours
of one column, which lie side by side, need no turn against each other, and their sum is one product
with a matrix that has a row's up to three ones next to each other. A turn is left for each column,
9 of 27.

A program is one warp group and owns TILE (64) rows by up to CHANNEL_TILE (32) channels: small,
since cosines and sines of a tile stay in registers, 16 of them each, beside the sums of up to three
parts. Matrix units multiply bfloat16: float32 numbers go in as the sum of three (`hopper.split`),
and a product with ones and zeros is then exact.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.ops import hopper
from jaxvision.ops.hopper import WarpGroup
from jaxvision.ops.sparse_voxels import gather_rows
from jaxvision.ops.voxel_aggregation.blocks import BlockMap, phases
from jaxvision.ops.voxel_aggregation.forms import (
    Factor,
    Form,
    has_waves,
    incoming,
    outgoing,
    part_count,
    subtracts_own,
)
from jaxvision.ops.voxel_aggregation.gradients import differentiable
from jaxvision.ops.windows import ALIGN, round_up

TILE = 64
CHANNEL_TILE = 32
# Blocks of a column's window that are copied at once.
PIECE = 128
# bfloat16 numbers that a number of each type is.
PIECES = {"bfloat16": 1, "float16": 2, "float32": 3}
# Rows of a table of voxels: the block, x and y inside it, z, and x and y of the scan.
BLOCK, INSIDE, PLACE = 0, (1, 2, 3), (4, 5, 3)
TABLE_ROWS = 6
# Rows of a table of axes: copies move 128 bytes at least.
AXES = 4


class Passes(NamedTuple):
    """What all passes of one call share.

    table: of the sorted voxels.  starts: first of each block, and the end of the last.
    projection: x, y, z and a row of zeros, by channel.  pieces: of a factor.
    """

    table: Int[Array, "s 6 p"]
    starts: Int[Array, "s b+1"]
    projection: Float[Array, "4 c"]
    form: Form
    pieces: int
    interpret: Any

    @property
    def width(self) -> int:
        """Channels of a program."""
        return min(CHANNEL_TILE, self.projection.shape[1])

    @property
    def parts(self) -> int:
        return part_count(self.form)

    @property
    def group(self) -> WarpGroup:
        return WarpGroup(bool(self.interpret))

    def grid(self, rows: int) -> dict[str, Any]:
        """Of shards, tiles of rows and tiles of channels."""
        across = self.projection.shape[1] // self.width
        sides = (self.table.shape[0], rows // TILE, across)
        return {"grid": sides, "grid_names": ("shard", "tile", "part"), "interpret": self.interpret}

    def factors(self, places: Any, weights: Any) -> tuple[Factor, Factor, Factor]:
        """cos and sin of the local phase and the absolute phase, of those the form needs.

        places: of a tile's voxels, numbers for each row.  weights: the projection's rows.
        """
        cos: Factor = 0.0
        sin: Factor = 0.0
        position: Factor = 0.0
        if has_waves(self.form):
            phase = self._phase(places, weights, INSIDE)
            cos, sin = jnp.cos(phase), jnp.sin(phase)
        if subtracts_own(self.form):
            position = self._phase(places, weights, PLACE)
        return cos, sin, position

    def _phase(self, places: Any, weights: Any, axes: tuple[int, ...]) -> Array:
        group, shape = self.group, (TILE, self.width)
        where = [down(group.rows(places[row]).astype(jnp.float32), shape) for row in axes]
        return total(where, [across(group.columns(weights[i]), shape) for i in range(len(axes))])


def _forward(features, projection, coords, blocks, *, form, interpret):
    passes, order, inverse = _prepared(features, projection, coords, blocks, form, interpret)
    given = _padded(gather_rows(features, order), passes)
    sums = _sum_voxels(given, passes, taking=False)
    totals, _ = _sum_blocks(sums, blocks, passes)
    averages = totals * _share(blocks, sums.shape[2])
    out = _spread(averages, features.dtype, passes)
    return gather_rows(out[..., : features.shape[2]], inverse), sums, averages


def _gradients(
    features, projection, coords, blocks, *, sums, averages, cotangent, form, interpret
) -> tuple[Array, Array]:
    """By features and by the projection (float32, summed over these shards)."""
    passes, order, inverse = _prepared(features, projection, coords, blocks, form, interpret)
    read, given = (_padded(gather_rows(rows, order), passes) for rows in (features, cotangent))
    taken = _sum_voxels(given, passes, taking=True) * _share(blocks, sums.shape[2])
    back, by_turns = _sum_blocks(taken, blocks, passes, own=sums)
    by_features, by_places = _spread_back(averages, back, read, given, passes=passes)
    channels = features.shape[2]
    by_projection = jnp.sum(by_places, axis=(0, 1))[:3]
    if by_turns is not None:
        by_projection = by_projection.at[:2].add(jnp.sum(by_turns, axis=(0, 2)))
    return gather_rows(by_features[..., :channels], inverse), by_projection[:, :channels].T


def _prepared(
    features: Array, projection: Array, coords: Array, blocks: BlockMap, form: Form, interpret: Any
) -> tuple[Passes, Int[Array, "s p"], Int[Array, "s v"]]:
    """With them the voxel of every sorted row, and the sorted row of every voxel."""
    _, voxels, channels = features.shape
    capacity = blocks.counts.shape[1]
    order = jnp.pad(
        blocks.order, ((0, 0), (0, round_up(voxels, TILE) - voxels)), constant_values=voxels
    )
    known = jnp.concatenate(
        [
            blocks.block_of[..., None] - capacity,
            blocks.local[..., :2],
            coords[..., 2:],
            coords[..., :2],
        ],
        axis=-1,
    )
    # Rows that are read outside are zeros: the block behind the last one.
    table = gather_rows(known.astype(jnp.int32), order).at[..., BLOCK].add(capacity)
    starts = jnp.pad(jnp.cumsum(blocks.counts, axis=1, dtype=jnp.int32), ((0, 0), (1, 0)))
    beyond = round_up(capacity, TILE) - capacity
    starts = jnp.pad(starts, ((0, 0), (0, beyond)), mode="edge")
    width = min(CHANNEL_TILE, round_up(channels, 16))
    turned = projection.astype(jnp.float32).T
    turned = jnp.pad(turned, ((0, AXES - 3), (0, round_up(channels, width) - channels)))
    # Absolute positions cancel, and need float32.
    pieces = PIECES["float32" if subtracts_own(form) else features.dtype.name]
    passes = Passes(jnp.swapaxes(table, 1, 2), starts, turned, form, pieces, interpret)
    return passes, order, jnp.argsort(blocks.order, axis=1)


def _padded(rows: Float[Array, "s p c"], passes: Passes) -> Float[Array, "s p d"]:
    missing = passes.projection.shape[1] - rows.shape[2]
    return jnp.pad(rows, ((0, 0), (0, 0), (0, missing)))


def _share(blocks: BlockMap, rows: int) -> Float[Array, "s 1 b 1"]:
    share = 1 / jnp.maximum(blocks.reach_counts, 1).astype(jnp.float32)
    return jnp.pad(share, ((0, 0), (0, rows - share.shape[1])))[:, None, :, None]


def _split(parts: Float[Array, "s n b c"], passes: Passes) -> Float[Array, "m b c"]:
    """Pieces of every part side by side."""
    return _flat(jnp.stack(hopper.split(parts, passes.pieces), axis=2))


def _flat(parts: Float[Array, "*m b c"]) -> Float[Array, "m b c"]:
    """The one leading axis that a copy of tiles has room for: parts of the first shard, ..."""
    return parts.reshape(-1, *parts.shape[-2:])


def _sum_voxels(
    values: Float[Array, "s p c"], passes: Passes, *, taking: bool
) -> Float[Array, "s n b c"]:
    """Sums of factor * value over the voxels of each block, a part each.

    taking: with the outgoing factors instead of the incoming ones.
    """
    plgpu, group = hopper.backend(), passes.group
    width, count = passes.width, passes.parts
    blocks = passes.starts.shape[1] - 1
    tile_starts = passes.starts[:, ::TILE]
    first = tile_starts[:, :-1] // TILE
    runs = jnp.stack([first, -(-tile_starts[:, 1:] // TILE) - first], axis=-1)

    def kernel(values_ref, table_ref, weights_ref, runs_ref, out_ref, *scratch):
        rows, places, weights, terms, out, arrived, known = scratch
        shard, tile, part = (jax.lax.axis_index(name) for name in ("shard", "tile", "part"))
        channels = pl.ds(part * width, width)
        first, steps = runs_ref[shard, tile, 0], runs_ref[shard, tile, 1]
        plgpu.copy_gmem_to_smem(weights_ref.at[:, channels], weights, known)

        def request(step: Array, slot: Array) -> None:
            these = pl.ds((first + step) * TILE, TILE)
            plgpu.copy_gmem_to_smem(
                values_ref.at[shard, these, channels], rows.at[slot], arrived.at[slot]
            )
            plgpu.copy_gmem_to_smem(
                table_ref.at[shard, :, these], places.at[slot], arrived.at[slot]
            )

        def add(step: Array, sum_refs: Any) -> None:
            slot = step % 2

            @pl.when(step + 1 < steps)
            def _request_next() -> None:
                request(step + 1, 1 - slot)

            plgpu.barrier_wait(arrived.at[slot])
            cos, sin, position = passes.factors(places.at[slot], weights)
            form = passes.form
            factors = outgoing(form, cos, sin) if taking else incoming(form, cos, sin, position)
            value = group.matrix(rows[slot]).astype(jnp.float32)
            for number, factor in enumerate(factors):
                for place, piece in enumerate(hopper.split(value * factor, passes.pieces)):
                    terms[number * passes.pieces + place] = piece
            plgpu.commit_smem()
            member = across(group.columns(places[slot, BLOCK]), (TILE, TILE))
            member = member == group.numbers((TILE, TILE), 0) + tile * TILE
            hot = jnp.where(member, 1.0, 0.0).astype(jnp.bfloat16)
            for number in range(count * passes.pieces):
                group.multiply(sum_refs[number // passes.pieces], hot, terms.at[number])

        def add_all(*sum_refs: Any) -> list[Array]:
            @pl.when(steps > 0)
            def _request_first() -> None:
                request(jnp.int32(0), jnp.int32(0))

            plgpu.barrier_wait(known)
            jax.lax.fori_loop(0, steps, lambda step, _: add(step, sum_refs), None)
            return [ref[...] for ref in sum_refs]

        sums = pl.run_scoped(add_all, *[plgpu.ACC((TILE, width), jnp.float32)] * count)
        here = pl.ds(tile * TILE, TILE)
        _write(out, out_ref.at[pl.ds(shard * count, count), here, channels], sums)

    shape = (values.shape[0], count, blocks, values.shape[2])
    sums = plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((shape[0] * count, *shape[2:]), jnp.float32),
        scratch_types=[
            hopper.matrix((2, TILE, width), values.dtype),
            plgpu.SMEM((2, TABLE_ROWS, TILE), jnp.int32),
            plgpu.SMEM((AXES, width), jnp.float32),
            hopper.matrix((count * passes.pieces, TILE, width), jnp.bfloat16),
            hopper.matrix((count, TILE, width), jnp.float32),
            plgpu.Barrier(num_arrivals=2, num_barriers=2),
            plgpu.Barrier(),
        ],
        **passes.grid(blocks),
    )(values, passes.table, passes.projection, runs)
    return sums.reshape(shape)


def _sum_blocks(
    sums: Float[Array, "s n b c"],
    blocks: BlockMap,
    passes: Passes,
    own: Float[Array, "s n b c"] | None = None,
) -> tuple[Float[Array, "s n b c"], Float[Array, "s 2 b c"] | None]:
    """Sums over a block's neighbours, those of cosine and sine turned by a column's angle.

    own: the backward: over the blocks that heard it, turned back, and each block's part of the
        gradient by the projection's x and y, from its own sums of the forward.
    """
    plgpu, group, width = hopper.backend(), passes.group, passes.width
    maps, per_axis = blocks.neighbours, blocks.neighbours_per_axis
    mine = [_flat(own)] if own is not None and has_waves(passes.form) else []
    slopes = bool(mine)
    rows = maps.inputs if own is None else maps.outputs
    spans, bounds = _column_spans(rows, maps.run, sums.shape[2])
    angles = phases(blocks.offsets.at[:, 2].set(0)[:: maps.run], passes.projection[:3].T)
    turns = jnp.stack([jnp.cos(angles), jnp.sin(angles if own is None else -angles)], axis=1)
    columns, piece = spans.shape[1], min(PIECE, sums.shape[2])
    pieces, count = passes.pieces, passes.parts
    shape = (TILE, width)

    def kernel(sums_ref, spans_ref, turns_ref, bounds_ref, *refs):
        own_refs, refs = (refs[:1], refs[1:]) if slopes else ((), refs)
        out_ref, *slope_refs = refs[: 1 + slopes]
        windows, ends, angle, out, arrived, late, known, *owned = refs[1 + slopes :]
        shard, tile, part = (jax.lax.axis_index(name) for name in ("shard", "tile", "part"))
        channels, here = pl.ds(part * width, width), pl.ds(tile * TILE, TILE)
        plgpu.copy_gmem_to_smem(turns_ref.at[:, :, channels], angle, known)
        for ref in own_refs:
            waves = ref.at[pl.ds(shard * count, 2), here, channels]
            plgpu.copy_gmem_to_smem(waves, owned[0], known)

        def start_of(column: Array, number: Array | int) -> tuple[Array, Array]:
            """The first block of a piece, and of its copy, which must end within the sums."""
            first = bounds_ref[shard, tile, 2 * column] + number * piece
            return first, pl.multiple_of(jnp.minimum(first, sums_ref.shape[1] - piece), ALIGN)

        def copy_window(column: Array, slot: Array, number: Array | int, barrier: Any) -> None:
            all_parts, near = count * pieces, pl.ds(start_of(column, number)[1], piece)
            copied = sums_ref.at[pl.ds(shard * all_parts, all_parts), near, channels]
            plgpu.copy_gmem_to_smem(copied, windows.at[slot], barrier)

        def request(column: Array, slot: Array) -> None:
            plgpu.copy_gmem_to_smem(
                spans_ref.at[shard, column, :, here], ends.at[slot], arrived.at[slot]
            )
            copy_window(column, slot, 0, arrived.at[slot])

        def picked(column: Array, slot: Array, number: Array) -> list[Array]:
            """Sums over the blocks of a column that this piece of its window holds."""
            first, start = start_of(column, number)
            low = jnp.maximum(group.rows(ends[slot, 0]), first) - start
            high = jnp.minimum(group.rows(ends[slot, 1]), first + piece) - start
            size = (TILE, piece)
            numbers = group.numbers(size, 1)
            inside = (numbers >= down(low, size)) & (numbers < down(high, size))
            hot = jnp.where(inside, 1.0, 0.0).astype(jnp.bfloat16)
            return [
                group.product(hot, *(windows.at[slot, p * pieces + i] for i in range(pieces)))
                for p in range(count)
            ]

        def add_column(column: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
            slot = column % 2

            @pl.when(column + 1 < columns)
            def _request_next() -> None:
                request(column + 1, 1 - slot)

            plgpu.barrier_wait(arrived.at[slot])

            def add_piece(number: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
                @pl.when(number > 0)
                def _copy_next() -> None:
                    copy_window(column, slot, number, late)
                    plgpu.barrier_wait(late)

                given = picked(column, slot, number)
                if has_waves(passes.form):
                    cos, sin = (across(group.columns(angle[column, i]), shape) for i in (0, 1))
                    of_cos, of_sin, *rest = given
                    given = [of_cos * cos - of_sin * sin, of_sin * cos + of_cos * sin, *rest]
                added = [total + each for total, each in zip(totals, given, strict=False)]
                if slopes:
                    own_cos, own_sin = (group.matrix(owned[0][i]) for i in (0, 1))
                    by_angle = own_cos * given[1] - own_sin * given[0]
                    for axis, step in enumerate((column // per_axis, column % per_axis)):
                        offset = (step - (per_axis - 1) // 2) * blocks.edge
                        added.append(totals[count + axis] + by_angle * offset.astype(jnp.float32))
                return tuple(added)

            return jax.lax.fori_loop(0, bounds_ref[shard, tile, 2 * column + 1], add_piece, totals)

        request(jnp.int32(0), jnp.int32(0))
        plgpu.barrier_wait(known)
        zeros = (group.matrix(jnp.zeros(shape, jnp.float32)),) * (count + 2 * slopes)
        totals = jax.lax.fori_loop(0, columns, add_column, zeros)
        _write(out, out_ref.at[pl.ds(shard * count, count), here, channels], totals[:count])
        for ref in slope_refs:
            _write(owned[0], ref.at[pl.ds(shard * 2, 2), here, channels], totals[count:])

    shards, _, *table = sums.shape
    results = [jax.ShapeDtypeStruct((shards * count, *table), jnp.float32)]
    scratch = [
        hopper.matrix((2, count * pieces, piece, width), jnp.bfloat16),
        plgpu.SMEM((2, 2, TILE), jnp.int32),
        plgpu.SMEM((columns, 2, width), jnp.float32),
        hopper.matrix((count, TILE, width), jnp.float32),
        plgpu.Barrier(num_arrivals=2, num_barriers=2),
        plgpu.Barrier(),
        plgpu.Barrier(num_arrivals=1 + slopes),
    ]
    if slopes:
        results.append(jax.ShapeDtypeStruct((shards * 2, *table), jnp.float32))
        scratch.append(hopper.matrix((2, TILE, width), jnp.float32))
    found = plgpu.kernel(kernel, out_type=results, scratch_types=scratch, **passes.grid(table[0]))(
        _split(sums, passes), spans, turns, bounds, *mine
    )
    totals, *by_turns = (each.reshape(shards, -1, *table) for each in found)
    return totals, by_turns[0] if slopes else None


def _column_spans(
    rows: Int[Array, "s k m"], run: int, blocks: int
) -> tuple[Int[Array, "s k 2 b"], Int[Array, "s t 2*k"]]:
    """The neighbours of every block in each column, first and end; and every tile's window of them:
    the first, and how many pieces."""
    shards, taps, capacity = rows.shape
    padded = jnp.pad(rows, ((0, 0), (0, 0), (0, blocks - capacity)), constant_values=capacity)
    grouped = padded.reshape(shards, taps // run, run, blocks)
    exists = grouped < capacity
    first = jnp.min(jnp.where(exists, grouped, capacity), axis=2)
    end = jnp.max(jnp.where(exists, grouped + 1, 0), axis=2)
    tiles = (shards, taps // run, blocks // TILE, TILE)
    lowest, highest = jnp.min(first.reshape(tiles), axis=3), jnp.max(end.reshape(tiles), axis=3)
    lowest = jnp.minimum(lowest, highest) // ALIGN * ALIGN
    pieces = -(-(highest - lowest) // min(PIECE, blocks))
    bounds = jnp.stack([lowest, pieces], axis=-1).astype(jnp.int32)
    bounds = jnp.moveaxis(bounds, 1, 2).reshape(shards, blocks // TILE, -1)
    return jnp.stack([first, end], axis=2).astype(jnp.int32), bounds


def _spread(averages: Float[Array, "s n b c"], dtype: Any, passes: Passes) -> Float[Array, "s p c"]:
    """Every sorted voxel's sum over the parts of outgoing factor * its block's mean."""
    plgpu, group, width = hopper.backend(), passes.group, passes.width
    pieces, near = passes.pieces, _near(averages)
    parts = passes.parts * pieces

    def kernel(averages_ref, table_ref, weights_ref, windows_ref, out_ref, *scratch):
        window, places, weights, out, arrived = scratch
        shard, tile, part = (jax.lax.axis_index(name) for name in ("shard", "tile", "part"))
        channels, here = pl.ds(part * width, width), pl.ds(tile * TILE, TILE)
        first = pl.multiple_of(windows_ref[shard, tile], ALIGN)
        mine = averages_ref.at[pl.ds(shard * parts, parts), pl.ds(first, near), channels]
        plgpu.copy_gmem_to_smem(mine, window, arrived)
        plgpu.copy_gmem_to_smem(table_ref.at[shard, :, here], places, arrived)
        plgpu.copy_gmem_to_smem(weights_ref.at[:, channels], weights, arrived)
        plgpu.barrier_wait(arrived)
        cos, sin, _ = passes.factors(places, weights)
        hot = group.one_hot(group.rows(places[BLOCK]) - first, near, jnp.bfloat16)
        picked = [
            group.product(hot, *(window.at[p * pieces + i] for i in range(pieces)))
            for p in range(passes.parts)
        ]
        out[...] = total(outgoing(passes.form, cos, sin), picked).astype(out.dtype)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(out, out_ref.at[shard, here, channels])
        plgpu.wait_smem_to_gmem(0)

    shards, _, voxels = passes.table.shape
    working = jnp.float32 if subtracts_own(passes.form) else dtype
    return plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((shards, voxels, averages.shape[3]), working),
        scratch_types=[
            hopper.matrix((parts, near, width), jnp.bfloat16),
            plgpu.SMEM((TABLE_ROWS, TILE), jnp.int32),
            plgpu.SMEM((AXES, width), jnp.float32),
            hopper.matrix((TILE, width), working),
            plgpu.Barrier(num_arrivals=3),
        ],
        **passes.grid(voxels),
    )(_split(averages, passes), passes.table, passes.projection, _windows(averages, passes))


def _spread_back(
    averages: Float[Array, "s n b c"],
    back: Float[Array, "s n b c"],
    values: Float[Array, "s p c"],
    cotangent: Float[Array, "s p c"],
    *,
    passes: Passes,
) -> tuple[Float[Array, "s p c"], Float[Array, "s t 4 c"]]:
    """Gradients by the sorted voxels' values, and each tile's part of that by the projection.

    averages: of the forward.  back: the cotangents' sums over each block's listeners.
    """
    plgpu, group, width = hopper.backend(), passes.group, passes.width
    pieces, count, form = passes.pieces, passes.parts, passes.form
    shape, near = (TILE, width), _near(averages)

    def kernel(averages_ref, back_ref, values_ref, given_ref, *refs):
        table_ref, weights_ref, windows_ref, out_ref, slopes_ref, *scratch = refs
        means, returned, places, weights, read, given, out, slopes, arrived = scratch
        shard, tile, part = (jax.lax.axis_index(name) for name in ("shard", "tile", "part"))
        channels, here = pl.ds(part * width, width), pl.ds(tile * TILE, TILE)
        first = pl.multiple_of(windows_ref[shard, tile], ALIGN)
        window = pl.ds(shard * count * pieces, count * pieces), pl.ds(first, near), channels
        plgpu.copy_gmem_to_smem(averages_ref.at[window], means, arrived)
        plgpu.copy_gmem_to_smem(back_ref.at[window], returned, arrived)
        plgpu.copy_gmem_to_smem(table_ref.at[shard, :, here], places, arrived)
        plgpu.copy_gmem_to_smem(weights_ref.at[:, channels], weights, arrived)
        plgpu.copy_gmem_to_smem(values_ref.at[shard, here, channels], read, arrived)
        plgpu.copy_gmem_to_smem(given_ref.at[shard, here, channels], given, arrived)
        plgpu.barrier_wait(arrived)
        cos, sin, position = passes.factors(places, weights)
        hot = group.one_hot(group.rows(places[BLOCK]) - first, near, jnp.bfloat16)

        def picked(window: Any, number: int) -> Array:
            return group.product(hot, *(window.at[number * pieces + i] for i in range(pieces)))

        mine = [picked(returned, number) for number in range(count)]
        out[...] = total(incoming(form, cos, sin, position), mine).astype(out.dtype)
        value = group.matrix(read[...]).astype(jnp.float32)
        angles = []
        if has_waves(form):
            taking = outgoing(form, cos, sin)
            angle = taking[0] * picked(means, 1) - taking[1] * picked(means, 0)
            angle = angle * group.matrix(given[...]).astype(jnp.float32)
            angles.append((angle + value * (cos * mine[1] - sin * mine[0]), INSIDE))
        if subtracts_own(form):
            angles.append((value * mine[-1], PLACE))
        for axis in range(AXES):
            slope = group.matrix(jnp.zeros(shape, jnp.float32))
            for angle, rows in angles if axis < 3 else ():
                slope += angle * down(group.rows(places[rows[axis]]).astype(jnp.float32), shape)
            slopes[axis] = jnp.sum(slope, axis=0)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(out, out_ref.at[shard, here, channels])
        plgpu.copy_smem_to_gmem(slopes, slopes_ref.at[shard, tile, :, channels])
        plgpu.wait_smem_to_gmem(0)

    shards, voxels, channels = values.shape
    return plgpu.kernel(
        kernel,
        out_type=[
            jax.ShapeDtypeStruct(values.shape, values.dtype),
            jax.ShapeDtypeStruct((shards, voxels // TILE, AXES, channels), jnp.float32),
        ],
        scratch_types=[
            *[hopper.matrix((count * pieces, near, width), jnp.bfloat16)] * 2,
            plgpu.SMEM((TABLE_ROWS, TILE), jnp.int32),
            plgpu.SMEM((AXES, width), jnp.float32),
            hopper.matrix(shape, values.dtype),
            hopper.matrix(shape, cotangent.dtype),
            hopper.matrix(shape, values.dtype),
            plgpu.SMEM((AXES, width), jnp.float32),
            plgpu.Barrier(num_arrivals=6),
        ],
        **passes.grid(voxels),
    )(
        _split(averages, passes),
        _split(back, passes),
        values,
        cotangent,
        passes.table,
        passes.projection,
        _windows(averages, passes),
    )


def _windows(averages: Float[Array, "s n b c"], passes: Passes) -> Int[Array, "s t"]:
    """The first of the blocks, `_near` many, that hold those of each tile of voxels."""
    aligned = passes.table[:, BLOCK, ::TILE] // ALIGN * ALIGN
    return jnp.minimum(aligned, averages.shape[2] - _near(averages))


def _near(averages: Float[Array, "s n b c"]) -> int:
    """As many blocks as a tile of voxels can lie in, and those before them from where a copy may
    start: products sum over them by as many as there are channels."""
    return min(round_up(TILE + ALIGN, CHANNEL_TILE), averages.shape[2])


def _write(buffer: Any, target: Any, parts: Any) -> None:
    """Parts to a box of the GPU's memory."""
    plgpu = hopper.backend()
    for number, part in enumerate(parts):
        buffer[number] = part
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(buffer, target)
    plgpu.wait_smem_to_gmem(0)


def total(factors: Sequence[Factor], parts: Sequence[Array]) -> Array:
    """The sum of factor * part."""
    products = (factor * part for factor, part in zip(factors, parts, strict=True))
    return functools.reduce(operator.add, products)


def down(rows: Array, shape: tuple[int, int]) -> Array:
    """A number for each row, in all columns."""
    return jax.lax.broadcast_in_dim(rows, shape, [0])


def across(columns: Array, shape: tuple[int, int]) -> Array:
    """A number for each column, in all rows."""
    return jax.lax.broadcast_in_dim(columns, shape, [1])


means = differentiable(_forward, _gradients)
