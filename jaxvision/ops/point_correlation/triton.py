"""Correlations with the nearest points on NVIDIA GPUs: rows are gathered as soon as they are found.

Forward: grid (clouds, blocks of 32 points of the first), the rounds of `k_nearest_neighbours`. Each
round ends with the index of one neighbour of every point; the program then reads those rows of the
second cloud's features, [32, c], from the cache, multiplies and sums. A product of all pairs, as on
a TPU, would be m / k = 128 times as many multiplications (published sizes) to save reads of 16 kB
a round, and the features of all neighbours are never in memory either way.

The gradient by the first features: the same gathers. By the second's, features and places: grid
(clouds, blocks of 32 points of the second). Each program owns its points and runs over all of the
first, 16 at a time, passing over what names none of its own; what is left is a product
[32, 16] x [16, c]. No atomic additions: the same bits each run.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float

from jaxvision.ops.k_nearest_neighbours.triton import QUERY_BLOCK, queries_of_program, search
from jaxvision.ops.point_correlation.gradients import differentiable
from jaxvision.ops.triton_backend import plgpu

READ_BLOCK = 16
# [32, channels] of both clouds, or of a gradient, stay in a program's registers.
MOST_CHANNELS = 256


def _forward(
    first: Array, second: Array, xyz1: Array, xyz2: Array, k: int, interpret: Any
) -> tuple[Array, Array]:
    b, n, c = first.shape

    def kernel(xyz2_ref, xyz1_ref, first_ref, second_ref, found_ref, indices_ref):
        cloud, row, real = queries_of_program(n)

        def keep(turn: Any, index: Array, _: Array) -> None:
            plgpu.store(indices_ref.at[cloud, row, turn], index, mask=real)
            for axis in range(3):
                here = plgpu.load(xyz1_ref.at[cloud, row, axis], mask=real, other=0)
                there = plgpu.load(xyz2_ref.at[cloud, index, axis], mask=real, other=0)
                plgpu.store(found_ref.at[cloud, row, turn, axis], there - here, mask=real)
            products = _rows(first_ref, cloud, row, real) * _rows(second_ref, cloud, index, real)
            value = jnp.sum(products, axis=1) / c
            plgpu.store(found_ref.at[cloud, row, turn, 3], value, mask=real)

        search(xyz2_ref, xyz1_ref, k, keep)

    found, indices = pl.pallas_call(
        kernel,
        out_shape=(
            jax.ShapeDtypeStruct((b, n, k, 4), jnp.float32),
            jax.ShapeDtypeStruct((b, n, k), jnp.int32),
        ),
        grid=(b, pl.cdiv(n, QUERY_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=pl.CostEstimate(
            flops=b * n * k * (13 * xyz2.shape[1] + 2 * c),
            transcendentals=0,
            bytes_accessed=sum(x.nbytes for x in (first, second, xyz1, xyz2)) + 20 * b * n * k,
        ),
        interpret=interpret,
    )(xyz2, xyz1, first, second)
    return found, indices


def _by_features(
    first: Array, second: Array, indices: Array, cotangent: Array, interpret: Any
) -> tuple[Float[Array, "b n c"], Float[Array, "b m c"]]:
    given = cotangent[..., 3] / first.shape[2]
    return (
        _by_first(second, indices, given, interpret),
        _by_second(first, indices, given, second.shape[1], interpret),
    )


def _by_first(second: Array, indices: Array, given: Array, interpret: Any) -> Float[Array, "b n c"]:
    (b, n, k), c = indices.shape, second.shape[2]

    def kernel(second_ref, indices_ref, given_ref, out_ref):
        cloud, row, real = queries_of_program(n)

        def add(step: Array, total: Array) -> Array:
            index = plgpu.load(indices_ref.at[cloud, row, step], mask=real, other=0)
            share = plgpu.load(given_ref.at[cloud, row, step], mask=real, other=0)
            return total + share[:, None] * _rows(second_ref, cloud, index, real)

        start = jnp.zeros((QUERY_BLOCK, pl.next_power_of_2(c)), jnp.float32)
        _store(out_ref, jax.lax.fori_loop(0, k, add, start), cloud, row, real)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, n, c), jnp.float32),
        grid=(b, pl.cdiv(n, QUERY_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(second, given, 2 * b * n * k * c),
        interpret=interpret,
    )(second, indices, given)


def _by_second(
    first: Array, indices: Array, given: Array, m: int, interpret: Any
) -> Float[Array, "b m c"]:
    (b, n, k), c = indices.shape, first.shape[2]

    def kernel(first_ref, indices_ref, given_ref, out_ref):
        cloud, point, owned = queries_of_program(m)

        def add(block: Array, total: Array) -> Array:
            row = block * READ_BLOCK + jnp.arange(READ_BLOCK)
            real = row < n

            def spread(step: Array, before: tuple[Array, Array]) -> tuple[Array, Array]:
                hit = _hit(indices_ref.at[cloud, row, step], real, point)
                share = plgpu.load(given_ref.at[cloud, row, step], mask=real, other=0)
                shares = before[1] + jnp.where(hit, share[None, :], 0.0)
                return before[0] | hit.astype(jnp.int32), shares

            nothing = jnp.zeros((QUERY_BLOCK, READ_BLOCK), jnp.int32)
            start = nothing, nothing.astype(jnp.float32)
            hits, shares = jax.lax.fori_loop(0, k, spread, start)

            def touched(total: Array) -> Array:
                theirs = _rows(first_ref, cloud, row, real)
                return total + plgpu.dot(shares, theirs, precision=jax.lax.Precision.HIGHEST)

            # Once or not at all.
            return jax.lax.fori_loop(0, jnp.max(hits), lambda _, sum_: touched(sum_), total)

        start = jnp.zeros((QUERY_BLOCK, pl.next_power_of_2(c)), jnp.float32)
        total = jax.lax.fori_loop(0, pl.cdiv(n, READ_BLOCK), add, start)
        _store(out_ref, total, cloud, point, owned)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, m, c), jnp.float32),
        grid=(b, pl.cdiv(m, QUERY_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(first, given, b * n * m * (3 * k + 2 * c)),
        interpret=interpret,
    )(first, indices, given)


def _by_places(
    indices: Array, cotangent: Array, count: int, interpret: Any
) -> Float[Array, "b m 3"]:
    b, n, k = indices.shape

    def kernel(indices_ref, cotangent_ref, out_ref):
        cloud, point, owned = queries_of_program(count)

        def add(block: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
            row = block * READ_BLOCK + jnp.arange(READ_BLOCK)
            real = row < n

            def spread(step: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
                hit = _hit(indices_ref.at[cloud, row, step], real, point)
                shares = (
                    plgpu.load(cotangent_ref.at[cloud, row, step, axis], mask=real, other=0)
                    for axis in range(3)
                )
                pairs = zip(totals, shares, strict=True)
                return tuple(total + jnp.where(hit, share[None, :], 0.0) for total, share in pairs)

            return jax.lax.fori_loop(0, k, spread, totals)

        start = (jnp.zeros((QUERY_BLOCK, READ_BLOCK), jnp.float32),) * 3
        totals = jax.lax.fori_loop(0, pl.cdiv(n, READ_BLOCK), add, start)
        for axis, total in enumerate(totals):
            plgpu.store(out_ref.at[cloud, point, axis], jnp.sum(total, axis=1), mask=owned)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, count, 3), jnp.float32),
        grid=(b, pl.cdiv(count, QUERY_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(indices, cotangent, 7 * b * n * count * k),
        interpret=interpret,
    )(indices, cotangent)


def _hit(indices_ref: Any, real: Array, point: Array) -> Bool[Array, "points reads"]:
    """Where an index names one of the program's points."""
    index = plgpu.load(indices_ref, mask=real, other=-1)
    return point[:, None] == index[None, :]


def _rows(ref: Any, cloud: Array, row: Array, real: Array) -> Float[Array, "rows channels"]:
    """Rows of [b, n, c], with zeros beyond the channels, in float32."""
    column, mask = _columns(ref, real)
    found = plgpu.load(ref.at[cloud, row[:, None], column[None, :]], mask=mask, other=0)
    return found.astype(jnp.float32)


def _store(ref: Any, rows: Array, cloud: Array, row: Array, real: Array) -> None:
    column, mask = _columns(ref, real)
    plgpu.store(ref.at[cloud, row[:, None], column[None, :]], rows, mask=mask)


def _columns(ref: Any, real: Array) -> tuple[Array, Array]:
    """(channels, which of the rows' are real) of [b, n, c]."""
    channels = ref.shape[2]
    column = jnp.arange(pl.next_power_of_2(channels))
    return column, real[:, None] & (column < channels)[None, :]


def _cost(rows: Array, given: Array, flops: int) -> pl.CostEstimate:
    return pl.CostEstimate(
        flops=flops, transcendentals=0, bytes_accessed=2 * rows.nbytes + 2 * given.nbytes
    )


correlations = differentiable(_forward, _by_features, _by_places)
