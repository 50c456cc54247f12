"""What a program on a GPU knows of its block: its voxels, its neighbours, and their phases.

Everything lies in global memory and is loaded by row as it is needed; what a program adds up stays
in registers: a row of channels per part ((1, channels), rounded up to a power of two), and a tile
of VOXELS x channels while it goes through its voxels. Loads and stores are masked, since blocks
hold any number of voxels and channels need be no power of two.
"""

import functools
import operator
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.ops.triton_backend import plgpu
from jaxvision.ops.voxel_aggregation.blocks import BlockMap, phases
from jaxvision.ops.voxel_aggregation.forms import (
    Factor,
    Form,
    has_waves,
    incoming,
    outgoing,
    subtracts_own,
)

# Voxels that a program reads at a time, at most.
VOXELS = 16
# A row of channels per part.
Totals = tuple[Array, ...]


class Geometry(NamedTuple):
    """Arrays that every kernel reads.

    order: voxel rows sorted by block.  starts, ends: of a block in them.  local, absolute: places
    of the voxels.  inputs, outputs: neighbours' block rows, both ways.  share: 1 / voxels in reach.
    cos, sin: of the neighbours' offsets.  offsets: in voxels.  projection: axis by channel.
    """

    order: Int[Array, "s v"]
    starts: Int[Array, "s m"]
    ends: Int[Array, "s m"]
    local: Int[Array, "s v 3"]
    absolute: Int[Array, "s v 3"]
    inputs: Int[Array, "s k m"]
    outputs: Int[Array, "s k m"]
    share: Float[Array, "s m"]
    cos: Float[Array, "k c"]
    sin: Float[Array, "k c"]
    offsets: Float[Array, "k 3"]
    projection: Float[Array, "3 c"]

    @classmethod
    def of(cls, absolute: Array, blocks: BlockMap, projection: Array) -> "Geometry":
        ends = jnp.cumsum(blocks.counts, axis=1, dtype=jnp.int32)
        angle = phases(blocks.offsets, projection)
        return cls(
            order=blocks.order,
            starts=ends - blocks.counts,
            ends=ends,
            local=blocks.local,
            absolute=absolute,
            inputs=blocks.neighbours.inputs,
            outputs=blocks.neighbours.outputs,
            share=1 / jnp.maximum(blocks.reach_counts, 1).astype(jnp.float32),
            cos=jnp.cos(angle),
            sin=jnp.sin(angle),
            offsets=blocks.offsets.astype(jnp.float32),
            projection=projection.astype(jnp.float32).T,
        )

    @staticmethod
    def bind(refs: list[Any]) -> "Geometry":
        """The same names for a kernel's references."""
        return Geometry(*refs)


class Block:
    """The block of this program, inside a kernel."""

    def __init__(self, known: Geometry, channels: int):
        self.known = known
        self.channels = channels
        self.shard, self.number = pl.program_id(0), pl.program_id(1)
        self.columns = jnp.arange(pl.next_power_of_2(channels))[None, :]
        self.real = self.columns < channels
        self.start = known.starts[self.shard, self.number]
        self.end = known.ends[self.shard, self.number]
        self.share = known.share[self.shard, self.number]
        self.steps = pl.cdiv(self.end - self.start, VOXELS)
        # A block that does not exist has nothing to add up.
        self.taps = jnp.minimum(self.end - self.start, 1) * known.inputs.shape[1]

    def zeros(self, count: int) -> Totals:
        return tuple(jnp.zeros(self.columns.shape, jnp.float32) for _ in range(count))

    def own(self, ref: Any, count: int) -> Totals:
        """This block's rows of (shard, block, part, channel)."""
        return self._rows(ref, self.number, count, True)

    def neighbour(self, ref: Any, tap: Array, count: int, back: bool) -> Totals:
        """The same of the neighbour at a tap, or of the block that hears this one there."""
        rows = self.known.outputs if back else self.known.inputs
        number = rows[self.shard, tap, self.number]
        exists = number < ref.shape[1]
        return self._rows(ref, jnp.where(exists, number, 0), count, exists)

    def _rows(self, ref: Any, number: Array, count: int, exists: Array | bool) -> Totals:
        return tuple(
            plgpu.load(
                ref.at[self.shard, number, part, self.columns],
                mask=self.real & exists,
                other=0.0,
            )
            for part in range(count)
        )

    def rotated(self, read: Totals, tap: Array, form: Form, sign: float) -> Totals:
        """A neighbour's parts, those of cosine and sine turned by the angle of its offset."""
        if not has_waves(form):
            return read
        tables: tuple[Any, Any] = (self.known.cos, self.known.sin)
        cos, sin = (
            plgpu.load(table.at[tap, self.columns], mask=self.real, other=0.0) for table in tables
        )
        sin = sin * sign
        return (read[0] * cos - read[1] * sin, read[1] * cos + read[0] * sin, *read[2:])

    def offset(self, tap: Array, axis: int) -> Array:
        return self.known.offsets[tap, axis]

    def store(self, ref: Any, part: int, row: Array) -> None:
        plgpu.store(ref.at[self.shard, self.number, part, self.columns], row, mask=self.real)

    def voxels(self, step: Array, form: Form) -> "Voxels":
        """A few of the block's voxels."""
        return Voxels(self, step, form)


class Voxels:
    """Rows of a block's voxels: where they are, and their factors."""

    def __init__(self, block: Block, step: Array, form: Form):
        known: Any = block.known
        shard = block.shard
        place = block.start + step * VOXELS + jnp.arange(VOXELS)
        inside = place < block.end
        # Beyond the block a row that does not exist: a masked store must not name another's.
        self.row = plgpu.load(known.order.at[shard, place], mask=inside, other=known.order.shape[1])
        self.inside = inside
        self.block = block
        self.mask = inside[:, None] & block.real
        cos: Factor = 0.0
        sin: Factor = 0.0
        position: Factor = 0.0
        if has_waves(form):
            self.local = self._places(known.local)
            phase = self._phase(self.local)
            cos, sin = jnp.cos(phase), jnp.sin(phase)
        if subtracts_own(form):
            self.absolute = self._places(known.absolute)
            position = self._phase(self.absolute)
        self.incoming = incoming(form, cos, sin, position)
        self.outgoing = outgoing(form, cos, sin)

    def _places(self, ref: Any) -> list[Array]:
        columns = [
            plgpu.load(ref.at[self.block.shard, self.row, axis], mask=self.inside, other=0)
            for axis in range(3)
        ]
        return [column.astype(jnp.float32)[:, None] for column in columns]

    def _phase(self, places: list[Array]) -> Array:
        projection: Any = self.block.known.projection
        rows = [
            plgpu.load(
                projection.at[axis, self.block.columns],
                mask=self.block.real,
                other=0.0,
            )
            for axis in range(3)
        ]
        return part_total(places, rows)

    def _at(self, ref: Any) -> Any:
        return ref.at[self.block.shard, self.row[:, None], self.block.columns]

    def load(self, ref: Any) -> Array:
        """These voxels' rows of (shard, voxel, channel) in float32, zeros beyond the block."""
        return plgpu.load(self._at(ref), mask=self.mask, other=0.0).astype(jnp.float32)

    def store(self, ref: Any, rows: Array) -> None:
        rows = jnp.broadcast_to(rows, self.mask.shape).astype(ref.dtype)
        plgpu.store(self._at(ref), rows, mask=self.mask)

    def slopes(
        self,
        slopes: Totals,
        read: Array,
        given: Array,
        averages: list[Array] | Totals,
        back: Totals,
        form: Form,
    ) -> Totals:
        """Gradients by the projection's axes, with what these voxels add.

        read: their features.  given: the cotangents of their results.
        """
        if has_waves(form):
            out, own = self.outgoing, self.incoming
            angle = given * (out[0] * averages[1] - out[1] * averages[0])
            angle += read * (own[0] * back[1] - own[1] * back[0])
            slopes = _along(slopes, angle, self.local)
        if subtracts_own(form):
            slopes = _along(slopes, read * back[-1], self.absolute)
        return slopes


def _along(slopes: Totals, angle: Array, places: list[Array]) -> Totals:
    return tuple(
        slope + jnp.sum(angle * place, axis=0, keepdims=True)
        for slope, place in zip(slopes, places, strict=True)
    )


def part_total(factors: list[Any], rows: list[Any] | Totals) -> Array:
    """The sum of factor * row over the parts."""
    products = (factor * row for factor, row in zip(factors, rows, strict=True))
    return functools.reduce(operator.add, products)


def part_sums(sums: Totals, factors: list[Any], rows: Array | Totals) -> Totals:
    """Each part's sum, with factor * row added; several rows are summed into one."""
    each = rows if isinstance(rows, tuple) else (rows,) * len(sums)
    return tuple(
        total + jnp.sum(factor * row, axis=0, keepdims=True)
        for total, factor, row in zip(sums, factors, each, strict=True)
    )
