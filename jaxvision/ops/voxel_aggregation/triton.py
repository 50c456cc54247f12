"""LinK's aggregation on NVIDIA GPUs: one program per block of voxels, forward and backward.

Two kernels each way: a block's voxels are summed; then a block adds up its neighbours' sums and
hands the mean to its voxels. A program owns what it writes: no atomic adds.

The grid is (shards, blocks), with two warps a program: a block's work is rows of some 64 channels,
too little for more, and there are thousands of blocks to fill the chip. A program reads its voxels
16 at a time through the sorted order (rows gathered from global memory), keeps sums and means in
registers, and never writes what the next step reads but the blocks' sums: they are the one thing
that other programs need, hence the cut between the two kernels. Phases are computed again in each
kernel, since three numbers a voxel cost less to read than a cosine and a sine a channel.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from jaxvision.ops.triton_backend import plgpu
from jaxvision.ops.voxel_aggregation.blocks import BlockMap
from jaxvision.ops.voxel_aggregation.forms import Form, part_count, subtracts_own
from jaxvision.ops.voxel_aggregation.gpu_block import Block, Geometry, Totals, part_sums, part_total
from jaxvision.ops.voxel_aggregation.gradients import differentiable


def _forward(features, projection, coords, blocks, *, form, interpret):
    geometry = Geometry.of(coords, blocks, projection)
    sums = _sum_voxels(features, geometry, form, False, interpret)
    out, averages = _spread(sums, geometry, form, features.dtype, interpret)
    return _in_blocks(out, blocks), sums, averages


def _gradients(
    features, projection, coords, blocks, *, sums, averages, cotangent, form, interpret
) -> tuple[Array, Array]:
    """By features and by the projection (float32, summed over these shards)."""
    geometry = Geometry.of(coords, blocks, projection)
    taken = _sum_voxels(cotangent, geometry, form, True, interpret)
    by_features, by_projection = _spread_back(
        taken,
        sums,
        averages,
        features,
        cotangent,
        geometry=geometry,
        form=form,
        interpret=interpret,
    )
    return _in_blocks(by_features, blocks), jnp.sum(by_projection, axis=(0, 1)).T


def _sum_voxels(
    values: Float[Array, "s v c"],
    geometry: Geometry,
    form: Form,
    taking: bool,
    interpret: Any,
) -> Float[Array, "s m n c"]:
    """Sums of factor * value over the voxels of each block, one row per part.

    taking: with the outgoing factors, and every sum times the block's share of its reach.
    """
    shards, _, channels = values.shape
    blocks = geometry.share.shape[1]
    count = part_count(form)

    def kernel(values_ref, *refs):
        *known, out_ref = refs
        block = Block(geometry.bind(known), channels)

        def add(step: Array, sums: Totals) -> Totals:
            rows = block.voxels(step, form)
            read = rows.load(values_ref)
            factors = rows.outgoing if taking else rows.incoming
            return part_sums(sums, factors, read)

        sums = jax.lax.fori_loop(0, block.steps, add, block.zeros(count))
        scale = block.share if taking else 1.0
        for part, total in enumerate(sums):
            block.store(out_ref, part, total * scale)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((shards, blocks, count, channels), jnp.float32),
        grid=(shards, blocks),
        compiler_params=plgpu.CompilerParams(num_warps=2, num_stages=1),
        cost_estimate=_cost(values, count, 0, geometry),
        interpret=interpret,
    )(values, *geometry)


def _spread(
    sums: Float[Array, "s m n c"], geometry: Geometry, form: Form, dtype: Any, interpret: Any
) -> tuple[Float[Array, "s v c"], Float[Array, "s m n c"]]:
    """Every voxel's result (if it has a block), and the mean over the reach of every block."""
    shards, _, count, channels = sums.shape
    voxels = geometry.order.shape[1]

    def kernel(sums_ref, *refs):
        *known, out_ref, averages_ref = refs
        block = Block(geometry.bind(known), channels)

        def add(tap: Array, totals: Totals) -> Totals:
            read = block.neighbour(sums_ref, tap, count, back=False)
            return part_sums(totals, [1.0] * count, block.rotated(read, tap, form, 1.0))

        totals = jax.lax.fori_loop(0, block.taps, add, block.zeros(count))
        averages = [total * block.share for total in totals]
        for part, average in enumerate(averages):
            block.store(averages_ref, part, average)

        def give(step: Array, _: None) -> None:
            rows = block.voxels(step, form)
            rows.store(out_ref, part_total(rows.outgoing, averages))

        jax.lax.fori_loop(0, block.steps, give, None)

    return pl.pallas_call(
        kernel,
        out_shape=[
            jax.ShapeDtypeStruct(
                (shards, voxels, channels), jnp.float32 if subtracts_own(form) else dtype
            ),
            jax.ShapeDtypeStruct(sums.shape, jnp.float32),
        ],
        grid=sums.shape[:2],
        compiler_params=plgpu.CompilerParams(num_warps=2, num_stages=1),
        cost_estimate=_cost(sums, count, geometry.inputs.shape[1], geometry),
        interpret=interpret,
    )(sums, *geometry)


def _spread_back(
    taken: Float[Array, "s m n c"],
    sums: Float[Array, "s m n c"],
    averages: Float[Array, "s m n c"],
    features: Float[Array, "s v c"],
    cotangent: Float[Array, "s v c"],
    geometry: Geometry,
    form: Form,
    interpret: Any,
) -> tuple[Float[Array, "s v c"], Float[Array, "s m 3 c"]]:
    """Gradients by the features, and each block's part of that by the projection."""
    shards, blocks, count, channels = sums.shape

    def kernel(taken_ref, sums_ref, averages_ref, features_ref, cotangent_ref, *refs):
        *known, out_ref, by_projection_ref = refs
        block = Block(geometry.bind(known), channels)
        own = block.own(sums_ref, count)
        averages = block.own(averages_ref, count)

        def add(tap: Array, carry: tuple[Totals, Totals]) -> tuple[Totals, Totals]:
            totals, slopes = carry
            read = block.neighbour(taken_ref, tap, count, back=True)
            turned = block.rotated(read, tap, form, -1.0)
            totals = part_sums(totals, [1.0] * count, turned)
            if count > 1:  # what is turned depends on the offset's angle
                angle = own[0] * turned[1] - own[1] * turned[0]
                slopes = tuple(
                    slope + angle * block.offset(tap, axis) for axis, slope in enumerate(slopes)
                )
            return totals, slopes

        start = (block.zeros(count), block.zeros(3))
        back, slopes = jax.lax.fori_loop(0, block.taps, add, start)

        def give(step: Array, slopes: Totals) -> Totals:
            rows = block.voxels(step, form)
            rows.store(out_ref, part_total(rows.incoming, back))
            read, given = rows.load(features_ref), rows.load(cotangent_ref)
            return rows.slopes(slopes, read, given, averages, back, form)

        slopes = jax.lax.fori_loop(0, block.steps, give, slopes)
        for axis, slope in enumerate(slopes):
            block.store(by_projection_ref, axis, slope)

    return pl.pallas_call(
        kernel,
        out_shape=[
            jax.ShapeDtypeStruct(features.shape, features.dtype),
            jax.ShapeDtypeStruct((shards, blocks, 3, channels), jnp.float32),
        ],
        grid=(shards, blocks),
        compiler_params=plgpu.CompilerParams(num_warps=2, num_stages=1),
        cost_estimate=_cost(features, 2 * count, geometry.inputs.shape[1], geometry),
        interpret=interpret,
    )(taken, sums, averages, features, cotangent, *geometry)


def _in_blocks(rows: Float[Array, "s v c"], blocks: BlockMap) -> Float[Array, "s v c"]:
    """Zeros where no program has written: voxels without a block."""
    exists = blocks.block_of < blocks.counts.shape[1]
    return jnp.where(exists[..., None], rows, 0)


def _cost(values: Array, products: int, taps: int, geometry: Geometry) -> pl.CostEstimate:
    shards, voxels = geometry.order.shape
    channels = values.shape[-1]
    blocks = geometry.share.shape[1]
    return pl.CostEstimate(
        flops=2 * shards * channels * products * (voxels + 3 * taps * blocks),
        transcendentals=2 * shards * voxels * channels,
        bytes_accessed=2 * values.nbytes + sum(array.nbytes for array in geometry),
    )


means = differentiable(_forward, _gradients)
