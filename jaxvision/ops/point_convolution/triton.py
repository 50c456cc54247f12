"""The maximum of weighted features on NVIDIA GPUs: gathers of whole rows, from the cache.

Forward and the gradient by the weights: grid (clouds, blocks of 32 queries). A program keeps the
maximum (or its gradient) and the place it comes from, [32, c], in registers, c padded to a power of
two, and runs over the k neighbours: a row of features for each query, which many queries share, and
a row of weights, read once.

The gradient by the features: grid (clouds, blocks of 32 points). Each program owns its points and
runs over all neighbours, those of 16 queries at a time, passing over what names none of its points;
what is left is a product [32, 16] x [16, c]. No atomic additions: the same bits each run.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.ops.point_convolution.gradients import differentiable
from jaxvision.ops.triton_backend import plgpu

BLOCK, READ_BLOCK = 32, 16
# [32, channels] of maxima, places and weights stay in a program's registers.
MOST_CHANNELS = 256


def _forward(
    features: Array, weights: Array, neighbours: Array, interpret: Any
) -> tuple[Float[Array, "b m c"], Int[Array, "b m c"]]:
    b, m, k, c = weights.shape

    def kernel(features_ref, weights_ref, neighbours_ref, most_ref, place_ref):
        cloud, row, real, column, mask = _block(m, c)
        at = (cloud, row[:, None], column[None, :])

        def compare(step: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            index = plgpu.load(neighbours_ref.at[cloud, row, step], mask=real, other=0)
            theirs = _rows(features_ref.at[cloud, index[:, None], column[None, :]], mask)
            value = theirs * _rows(weights_ref.at[cloud, row[:, None], step, column[None, :]], mask)
            larger = value > best[0]
            return jnp.where(larger, value, best[0]), jnp.where(larger, step, best[1])

        start = jnp.full(mask.shape, -jnp.inf, jnp.float32), jnp.zeros(mask.shape, jnp.int32)
        most, place = jax.lax.fori_loop(0, k, compare, start)
        plgpu.store(most_ref.at[at], most.astype(features.dtype), mask=mask)
        plgpu.store(place_ref.at[at], place, mask=mask)

    return pl.pallas_call(
        kernel,
        out_shape=(
            jax.ShapeDtypeStruct((b, m, c), features.dtype),
            jax.ShapeDtypeStruct((b, m, c), jnp.int32),
        ),
        grid=(b, pl.cdiv(m, BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(features, weights),
        interpret=interpret,
    )(features, weights, neighbours)


def _by_weights(
    features: Array, neighbours: Array, place: Array, cotangent: Array, interpret: Any
) -> Float[Array, "b m k c"]:
    (b, m, k), c = neighbours.shape, features.shape[2]
    out = jax.ShapeDtypeStruct((b, m, k, c), jnp.float32)

    def kernel(features_ref, neighbours_ref, place_ref, cotangent_ref, out_ref):
        cloud, row, real, column, mask = _block(m, c)
        at = (cloud, row[:, None], column[None, :])
        place = plgpu.load(place_ref.at[at], mask=mask, other=0)
        given = _rows(cotangent_ref.at[at], mask)

        def one(step: Array, _: None) -> None:
            index = plgpu.load(neighbours_ref.at[cloud, row, step], mask=real, other=0)
            theirs = _rows(features_ref.at[cloud, index[:, None], column[None, :]], mask)
            share = jnp.where(place == step, given, 0.0) * theirs
            plgpu.store(out_ref.at[cloud, row[:, None], step, column[None, :]], share, mask=mask)

        jax.lax.fori_loop(0, k, one, None)

    return pl.pallas_call(
        kernel,
        out_shape=out,
        grid=(b, pl.cdiv(m, BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(features, out),
        interpret=interpret,
    )(features, neighbours, place, cotangent)


def _by_features(
    weights: Array, neighbours: Array, place: Array, cotangent: Array, n: int, interpret: Any
) -> Float[Array, "b n c"]:
    b, m, k, c = weights.shape
    out = jax.ShapeDtypeStruct((b, n, c), jnp.float32)

    def kernel(weights_ref, neighbours_ref, place_ref, cotangent_ref, out_ref):
        cloud, point, _, column, mask = _block(n, c)

        def add_block(block: Array, total: Array) -> Array:
            row = block * READ_BLOCK + jnp.arange(READ_BLOCK)
            real = row < m
            known = real[:, None] & (column < c)[None, :]
            at = (cloud, row[:, None], column[None, :])

            def add(step: Array, total: Array) -> Array:
                index = plgpu.load(neighbours_ref.at[cloud, row, step], mask=real, other=-1)
                hit = point[:, None] == index[None, :]

                def touched(total: Array) -> Array:
                    chosen = plgpu.load(place_ref.at[at], mask=known, other=-1) == step
                    weight = _rows(
                        weights_ref.at[cloud, row[:, None], step, column[None, :]], known
                    )
                    value = jnp.where(chosen, _rows(cotangent_ref.at[at], known) * weight, 0.0)
                    exact = jax.lax.Precision.HIGHEST
                    return total + plgpu.dot(hit.astype(jnp.float32), value, precision=exact)

                # Once or not at all.
                turns = jnp.max(hit.astype(jnp.int32))
                return jax.lax.fori_loop(0, turns, lambda _, sum_: touched(sum_), total)

            return jax.lax.fori_loop(0, k, add, total)

        start = jnp.zeros(mask.shape, jnp.float32)
        total = jax.lax.fori_loop(0, pl.cdiv(m, READ_BLOCK), add_block, start)
        plgpu.store(out_ref.at[cloud, point[:, None], column[None, :]], total, mask=mask)

    return pl.pallas_call(
        kernel,
        out_shape=out,
        grid=(b, pl.cdiv(n, BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(out, weights),
        interpret=interpret,
    )(weights, neighbours, place, cotangent)


def _block(count: int, channels: int) -> tuple[Array, Array, Array, Array, Array]:
    """(cloud, rows, which are real, columns, which of both are) of this program."""
    row = pl.program_id(1) * BLOCK + jnp.arange(BLOCK)
    column, real = jnp.arange(pl.next_power_of_2(channels)), row < count
    return pl.program_id(0), row, real, column, real[:, None] & (column < channels)[None, :]


def _rows(ref: Any, mask: Array) -> Array:
    return plgpu.load(ref, mask=mask, other=0).astype(jnp.float32)


def _cost(rows: Any, weights: Any) -> pl.CostEstimate:
    return pl.CostEstimate(
        flops=2 * weights.size,
        transcendentals=0,
        bytes_accessed=rows.size * rows.dtype.itemsize + weights.size * weights.dtype.itemsize,
    )


weighted_maximum = differentiable(_forward, _by_weights, _by_features)
