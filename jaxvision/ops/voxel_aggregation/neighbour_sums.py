"""Sums over neighbouring blocks in plain JAX, forward and backward."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.voxel_aggregation.blocks import (
    BlockMap,
    phases,
    projection_gradient,
    weighted_row_sums,
)
from jaxvision.ops.voxel_aggregation.chunks import Chunk, by_chunks, read_rows
from jaxvision.ops.voxel_aggregation.forms import Form, has_waves, part_count

Totals = list[Array]


def split_parts(rows: Float[Array, "s n p*c"], form: Form) -> Totals:
    """The parts of some rows, which lie side by side."""
    return jnp.split(rows, part_count(form), axis=-1)


def averages_of(
    sums: Float[Array, "s m+1 p*c"],
    share: Float[Array, "s m+1"],
    projection: Float[Array, "c 3"],
    blocks: BlockMap,
    form: Form,
) -> Float[Array, "s m+1 p*c"]:
    """Of every part, the share of the sum over the neighbouring blocks, the own one included.

    Sums of G cos(p) and G sin(p) are turned by the phase of their block's offset: with it the
    neighbours' local phases are read from the own block's corner, and no absolute phase arises.
    """
    rows = blocks.neighbours.inputs

    def work(chunk: Chunk, averages: Array) -> Array:
        def add(totals: Totals, step: tuple) -> tuple[Totals, None]:
            tap, cos, sin = step
            given = split_parts(read_rows(sums, tap), form)
            return _add_rotated(totals, given, cos, sin, form), None

        steps = (jnp.moveaxis(chunk.take(rows, 2), 1, 0), *_offset_rotations(blocks, projection))
        totals, _ = jax.lax.scan(add, _zeros(sums, chunk, form), steps)
        total = jnp.concatenate(totals, axis=-1) * chunk.take(share)[..., None]
        return chunk.put(averages, total)

    return by_chunks(rows.shape[2], _existing_blocks(blocks), jnp.zeros_like(sums), work)


def averages_transpose(
    taken: Float[Array, "s m+1 p*c"],
    sums: Float[Array, "s m+1 p*c"],
    projection: Float[Array, "c 3"],
    blocks: BlockMap,
    form: Form,
) -> tuple[Float[Array, "s m+1 p*c"], Float[Array, "c 3"]]:
    """Gradients by the sums, and by the projection that turns them.

    A block reads what the blocks that heard it were given, turned back; its own sums against the
    same are the gradient by the angle of each offset.
    taken: gradients by the neighbours' sums.
    """
    rows = blocks.neighbours.outputs
    cos, sin = _offset_rotations(blocks, projection)

    def work(chunk: Chunk, results: tuple[Array, Array]) -> tuple[Array, Array]:
        back, angles = results
        own = split_parts(chunk.take(sums), form)
        fresh = jnp.broadcast_to(chunk.fresh.astype(jnp.float32), (1, *own[0].shape[:2]))

        def add(totals: Totals, step: tuple) -> tuple[Totals, Array]:
            tap, cos, sin = step
            given = split_parts(read_rows(taken, tap), form)
            totals = _add_rotated(totals, given, cos, -sin, form)
            if not has_waves(form):
                return totals, jnp.zeros_like(cos)
            along = weighted_row_sums(fresh, given[0] * own[0] + given[1] * own[1])[0]
            across = weighted_row_sums(fresh, given[1] * own[0] - given[0] * own[1])[0]
            return totals, cos * across - sin * along

        steps = (jnp.moveaxis(chunk.take(rows, 2), 1, 0), cos, sin)
        totals, angle = jax.lax.scan(add, _zeros(sums, chunk, form), steps)
        return chunk.put(back, jnp.concatenate(totals, axis=-1)), angles + angle

    start = jnp.zeros_like(sums), jnp.zeros_like(cos)
    back, angles = by_chunks(rows.shape[2], _existing_blocks(blocks), start, work)
    return back, projection_gradient(angles[None], blocks.offsets[None])


def _existing_blocks(blocks: BlockMap) -> Int[Array, ""]:
    return jnp.max(blocks.blocks.count)


def _offset_rotations(
    blocks: BlockMap, projection: Float[Array, "c 3"]
) -> tuple[Float[Array, "k c"], Float[Array, "k c"]]:
    angle = phases(blocks.offsets, projection)
    return jnp.cos(angle), jnp.sin(angle)


def _zeros(sums: Array, chunk: Chunk, form: Form) -> Totals:
    return split_parts(jnp.zeros_like(chunk.take(sums)), form)


def _add_rotated(totals: Totals, given: Totals, cos: Array, sin: Array, form: Form) -> Totals:
    if has_waves(form):
        of_cos, of_sin, *rest = given
        given = [of_cos * cos - of_sin * sin, of_sin * cos + of_cos * sin, *rest]
    return [total + part for total, part in zip(totals, given, strict=True)]
