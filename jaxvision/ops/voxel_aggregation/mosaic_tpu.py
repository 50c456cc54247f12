"""LinK's aggregation on a TPU: three passes over contiguous windows, forward and backward.

The backward is the same operator transposed: voxels into blocks with the outgoing factors, blocks
to those they heard from, back to the voxels with the incoming factors. Nothing is scattered, and
sums are taken in a fixed order.

Why three passes: a voxel of a 3 x 7 kernel hears 27 blocks, but its block's sum over them is the
same for all its voxels. Summed once per block (`sum_voxels`, then `sum_blocks`) and handed back
(`spread`), the work does not grow with the kernel's edge. Voxels are sorted by block beforehand, by
XLA, so that each pass reads runs of rows that lie side by side (`jaxvision/ops/windows.py`) and
writes tiles that no other program writes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.sparse_voxels import gather_rows
from jaxvision.ops.voxel_aggregation.blocks import BlockMap, phases
from jaxvision.ops.voxel_aggregation.forms import Form, has_waves, part_count
from jaxvision.ops.voxel_aggregation.gradients import differentiable
from jaxvision.ops.voxel_aggregation.tpu_spread import spread, spread_back
from jaxvision.ops.voxel_aggregation.tpu_sums import sum_blocks, sum_voxels
from jaxvision.ops.voxel_aggregation.tpu_tiles import TABLE_ROWS, padded_voxels


def _forward(features, projection, coords, blocks, *, form, interpret):
    table, order, inverse = _sorted(coords, blocks)
    settings = {"form": form, "interpret": interpret}
    weights, capacity = _weights(projection), blocks.counts.shape[1]
    given = gather_rows(features, order)
    sums = sum_voxels(given, table, blocks.counts, weights, taking=False, **settings)
    (totals,) = sum_blocks(
        sums,
        blocks.neighbours.inputs,
        blocks.neighbours.run,
        *_offset_rotations(blocks, projection, form),
        channels=features.shape[2],
        **settings,
    )
    averages = totals * _share(blocks, sums.shape[1])
    out = spread(averages, table, capacity, weights, dtype=features.dtype, **settings)
    return gather_rows(out, inverse), sums, averages


def _gradients(
    features, projection, coords, blocks, *, sums, averages, cotangent, form, interpret
) -> tuple[Array, Array]:
    """By features and by the projection (float32, summed over these shards)."""
    table, order, inverse = _sorted(coords, blocks)
    settings = {"form": form, "interpret": interpret}
    weights, channels = _weights(projection), features.shape[2]
    read, given = gather_rows(features, order), gather_rows(cotangent, order)
    taken = sum_voxels(given, table, blocks.counts, weights, taking=True, **settings)
    cos, sin = _offset_rotations(blocks, projection, form)
    back, *pairs = sum_blocks(
        taken * _share(blocks, sums.shape[1]),
        blocks.neighbours.outputs,
        blocks.neighbours.run,
        cos,
        -sin,
        channels=channels,
        own=(sums, _quarter_turn(sums, channels)) if has_waves(form) else None,
        **settings,
    )
    capacity = blocks.counts.shape[1]
    by_features, by_weights = spread_back(
        averages, back, read, given, table, capacity=capacity, weights=weights, **settings
    )
    by_projection = (by_weights[0, 1:4] + by_weights[1, 4:7]).T
    if has_waves(form):
        along, across = (pair[:, :channels] + pair[:, channels : 2 * channels] for pair in pairs)
        by_angle = cos[:, :channels] * across - sin[:, :channels] * along
        offsets = blocks.offsets.astype(jnp.float32)
        by_projection += jnp.einsum(
            "kc,kd->cd", by_angle, offsets, precision=jax.lax.Precision.HIGHEST
        )
    return gather_rows(by_features, inverse), by_projection


def _sorted(
    coords: Array, blocks: BlockMap
) -> tuple[Int[Array, "s 8 p"], Int[Array, "s p"], Int[Array, "s v"]]:
    """The table of the voxels sorted by block, the voxel of every sorted row, and the reverse."""
    voxels = blocks.order.shape[1]
    missing = padded_voxels(voxels) - voxels
    order = jnp.pad(blocks.order, ((0, 0), (0, missing)), constant_values=voxels)
    capacity = blocks.counts.shape[1]
    known = jnp.concatenate(
        [blocks.block_of[..., None] - capacity, blocks.local, coords], axis=-1
    ).astype(jnp.int32)
    # Rows that are read outside are zeros: the block behind the last one.
    table = gather_rows(known, order).at[..., 0].add(capacity)
    table = jnp.pad(jnp.swapaxes(table, 1, 2), ((0, 0), (0, TABLE_ROWS - 7), (0, 0)))
    return table, order, jnp.argsort(blocks.order, axis=1)


def _weights(projection: Float[Array, "c 3"]) -> Float[Array, "2 8 c"]:
    """The projection against a table's local rows and against its absolute ones."""
    turned = projection.astype(jnp.float32).T
    zeros = jnp.zeros((2, TABLE_ROWS, turned.shape[1]), jnp.float32)
    return zeros.at[0, 1:4].set(turned).at[1, 4:7].set(turned)


def _share(blocks: BlockMap, rows: int) -> Float[Array, "s b 1"]:
    share = 1 / jnp.maximum(blocks.reach_counts, 1).astype(jnp.float32)
    return jnp.pad(share, ((0, 0), (0, rows - share.shape[1])))[..., None]


def _offset_rotations(
    blocks: BlockMap, projection: Array, form: Form
) -> tuple[Float[Array, "k n"], Float[Array, "k n"]]:
    """cos and sin of every neighbour's offset, for each column of the parts."""
    angle = phases(blocks.offsets, projection)
    still = jnp.zeros_like(angle)
    angles = [angle, angle] if has_waves(form) else []
    angles += [still] * (part_count(form) - len(angles))
    joined = jnp.concatenate(angles, axis=1)
    return jnp.cos(joined), jnp.sin(joined)


def _quarter_turn(sums: Array, channels: int) -> Array:
    """(cos, sin) sums as (-sin, cos); other parts as zeros."""
    cos, sin, rest = jnp.split(sums, (channels, 2 * channels), axis=-1)
    return jnp.concatenate([-sin, cos, jnp.zeros_like(rest)], axis=-1)


means = differentiable(_forward, _gradients)
