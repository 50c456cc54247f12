"""LinK's aggregation in plain JAX (LinK, section 3.2 and equations 4 to 6).

With the phase p of a voxel split into its block's and its place inside the block, cos(p_i - p_j)
needs only sums of G cos and G sin of *local* phases per block, each turned by the constant phase of
a block offset. This is exact, and no phase of hundreds of radians arises.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.sparse_voxels import kernel_indices
from jaxvision.ops.voxel_aggregation.blocks import BlockMap, phases, projection_gradient
from jaxvision.ops.voxel_aggregation.chunks import Chunk, by_chunks, read_rows
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
from jaxvision.ops.voxel_aggregation.neighbour_sums import (
    averages_of,
    averages_transpose,
    split_parts,
)


class Voxels(NamedTuple):
    """Where the voxels are, and what their factors are made of.

    planes, lines: cos and sin of the phase at every x, y and at every z inside a block: few enough
        to stay in a cache, whatever the block's edge.
    share: 1 / voxels in reach of every block, and 1 for what has none.
    """

    block_of: Int[Array, "s v"]
    local: Int[Array, "s v 3"]
    absolute: Int[Array, "s v 3"]
    planes: Float[Array, "e*e 2*c"]
    lines: Float[Array, "e 2*c"]
    share: Float[Array, "s m+1"]
    projection: Float[Array, "c 3"]
    edge: int
    form: Form

    @classmethod
    def of(cls, coords: Array, blocks: BlockMap, projection: Array, form: Form) -> "Voxels":
        edge = blocks.edge
        planes, lines = (
            _waves(phases(jnp.asarray(kernel_indices(sides)), projection))
            for sides in ((edge, edge, 1), (1, 1, edge))
        )
        reach = jnp.pad(jnp.maximum(blocks.reach_counts, 1), ((0, 0), (0, 1)), constant_values=1)
        share = 1 / reach.astype(jnp.float32)
        return cls(
            block_of=blocks.block_of,
            local=blocks.local,
            absolute=coords,
            planes=planes,
            lines=lines,
            share=share,
            projection=projection,
            edge=edge,
            form=form,
        )

    def factors(self, chunk: Chunk) -> tuple[list[Factor], list[Factor]]:
        """Incoming and outgoing, of some voxels."""
        cos: Factor = 0.0
        sin: Factor = 0.0
        position: Factor = 0.0
        if has_waves(self.form):
            x, y, z = jnp.moveaxis(chunk.take(self.local), -1, 0)
            plane = self.planes.at[x * self.edge + y].get(mode="promise_in_bounds")
            line = self.lines.at[z].get(mode="promise_in_bounds")
            cos_xy, sin_xy = jnp.split(plane, 2, axis=-1)
            cos_z, sin_z = jnp.split(line, 2, axis=-1)
            cos, sin = cos_xy * cos_z - sin_xy * sin_z, sin_xy * cos_z + cos_xy * sin_z
        if subtracts_own(self.form):
            position = phases(chunk.take(self.absolute), self.projection)
        return incoming(self.form, cos, sin, position), outgoing(self.form, cos, sin)


def _waves(phase: Float[Array, "e c"]) -> Float[Array, "e 2*c"]:
    return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)


def _forward(features, projection, coords, blocks, *, form, interpret: Any):
    voxels = Voxels.of(coords, blocks, projection, form)
    sums = _block_sums(features, voxels, taking=False)
    averages = averages_of(sums, voxels.share, projection, blocks, form)

    def work(chunk: Chunk, out: Array) -> Array:
        _, factors = voxels.factors(chunk)
        means = split_parts(read_rows(averages, chunk.take(voxels.block_of)), form)
        return chunk.put(out, _total(factors, means).astype(out.dtype))

    dtype = jnp.float32 if subtracts_own(form) else features.dtype
    count = features.shape[1]
    out = by_chunks(count, count, jnp.zeros(features.shape, dtype), work)
    return out, sums, averages


def _gradients(
    features, projection, coords, blocks, *, sums, averages, cotangent, form, interpret: Any
):
    """By features and by the projection (float32, summed over these shards)."""
    voxels = Voxels.of(coords, blocks, projection, form)
    taken = _block_sums(cotangent, voxels, taking=True)
    back, by_projection = averages_transpose(taken, sums, projection, blocks, form)

    def work(chunk: Chunk, results: tuple[Array, Array]) -> tuple[Array, Array]:
        by_features, by_projection = results
        giving, taking = voxels.factors(chunk)
        rows = chunk.take(voxels.block_of)
        returned = split_parts(read_rows(back, rows), form)
        feature = chunk.take(features).astype(jnp.float32)
        by_features = chunk.put(by_features, _total(giving, returned).astype(features.dtype))
        fresh = chunk.fresh[:, None].astype(jnp.int32)
        if has_waves(form):
            means = split_parts(read_rows(averages, rows), form)
            given = chunk.take(cotangent).astype(jnp.float32)
            phase = given * (taking[0] * means[1] - taking[1] * means[0])
            phase += feature * (giving[0] * returned[1] - giving[1] * returned[0])
            by_projection += projection_gradient(phase, chunk.take(voxels.local) * fresh)
        if subtracts_own(form):
            by_projection += projection_gradient(
                feature * returned[-1], chunk.take(voxels.absolute) * fresh
            )
        return by_features, by_projection

    count = features.shape[1]
    return by_chunks(count, count, (jnp.zeros_like(features), by_projection), work)


def _block_sums(
    values: Float[Array, "s v c"], voxels: Voxels, taking: bool
) -> Float[Array, "s m+1 p*c"]:
    """Float32 sums of factor * value over the voxels of each block, the parts side by side.

    taking: with the outgoing factors and the block's share of its reach.
    XLA adds in row order on a CPU and on a TPU; on a GPU its scatter does not promise an order.
    """
    shards, count, channels = values.shape
    rows = voxels.share.shape[1]

    def work(chunk: Chunk, parts: list[Array]) -> list[Array]:
        factors = voxels.factors(chunk)[taking]
        block_of = chunk.take(voxels.block_of)
        value = chunk.take(values).astype(jnp.float32)
        if taking:
            value *= jnp.take_along_axis(voxels.share, block_of, axis=1)[..., None]
        # Beyond the last row, and dropped: what was added before or has no block.
        target = jnp.where(chunk.fresh & (block_of < rows - 1), block_of, rows)
        add = jax.vmap(lambda s, b, t: s.at[b].add(t, mode="drop"))
        # Part by part: XLA is slow on a CPU to compute what it lays side by side.
        terms = (value * factor for factor in factors)
        return [add(part, target, term) for part, term in zip(parts, terms, strict=True)]

    start = [jnp.zeros((shards, rows, channels), jnp.float32)] * part_count(voxels.form)
    return jnp.concatenate(by_chunks(count, count, start, work), axis=-1)


def _total(factors: list[Factor], rows: list[Array]) -> Array:
    total = factors[0] * rows[0]
    for factor, row in zip(factors[1:], rows[1:], strict=True):
        total = total + factor * row
    return total


means = differentiable(_forward, _gradients)
