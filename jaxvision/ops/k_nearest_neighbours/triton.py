"""The search on NVIDIA GPUs: rounds of a minimum over distances that are made anew each time.

Grid: (clouds, blocks of 32 queries). A round runs over the points, 64 at a time: [32, 64] distances
in registers, of which those that come after the last one found (further, or as far and later) may
be taken. Every place of the tile keeps its own best, and only the end of the round compares places.
Nothing but coordinates is read, from the cache: nine operations a distance cost less than to keep
distances anywhere.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.k_nearest_neighbours.reference import FAR
from jaxvision.ops.triton_backend import plgpu

QUERY_BLOCK = 32
POINT_BLOCK = 64


def nearest(
    points: Float[Array, "b n d"], queries: Float[Array, "b m d"], k: int, interpret: Any = False
) -> tuple[Int[Array, "b m k"], Float[Array, "b m k"]]:
    """See `reference.nearest`."""
    clouds = points.astype(jnp.float32), queries.astype(jnp.float32)
    return over_batch(lambda p, q: _nearest(p, q, k, interpret), *clouds)


def _nearest(points: Array, queries: Array, k: int, interpret: Any) -> tuple[Array, Array]:
    b, n, d = points.shape
    m = queries.shape[1]
    tile = (QUERY_BLOCK, POINT_BLOCK)

    def kernel(points_ref, queries_ref, indices_ref, squared_ref):
        cloud = pl.program_id(0)
        row = pl.program_id(1) * QUERY_BLOCK + jnp.arange(QUERY_BLOCK)
        real = row < m
        asked = [
            plgpu.load(queries_ref.at[cloud, row, axis], mask=real, other=0.0) for axis in range(d)
        ]

        def distances(block: Array) -> tuple[Array, Array]:
            """(number of each point, squared distances) of a block of points."""
            number = block * POINT_BLOCK + jnp.arange(POINT_BLOCK)
            squared = jnp.zeros(tile, jnp.float32)
            for axis, place in enumerate(asked):
                theirs = plgpu.load(
                    points_ref.at[cloud, number, axis], mask=number < n, other=jnp.inf
                )
                difference = place[:, None] - theirs[None, :]
                squared += difference * difference
            number = jnp.broadcast_to(number[None, :], tile)
            return number, jnp.where(squared <= FAR, squared, jnp.inf)

        def find(turn: Array, before: tuple[Array, ...]) -> tuple[Array, ...]:
            least, place, furthest_on, nearer = before

            def look(block: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
                number, squared = distances(block)
                later = (squared == least[:, None]) & (number > place[:, None])
                free = (squared > least[:, None]) | later
                closer = free & (squared < best[0])
                return jnp.where(closer, squared, best[0]), jnp.where(closer, number, best[1])

            start = jnp.full(tile, jnp.inf, jnp.float32), jnp.full(tile, n, jnp.int32)
            best, numbers = jax.lax.fori_loop(0, pl.cdiv(n, POINT_BLOCK), look, start)
            following = jnp.min(best, axis=1)
            first = jnp.min(jnp.where(best == following[:, None], numbers, n), axis=1)
            reached = following <= FAR
            out = (cloud, row, turn)
            plgpu.store(indices_ref.at[out], jnp.where(reached, first, 0), mask=real)
            plgpu.store(squared_ref.at[out], jnp.where(reached, following, FAR), mask=real)
            # The latest point among those nearer than this one.
            nearer = jnp.where(following > least, furthest_on, nearer)
            return following, first, jnp.maximum(furthest_on, jnp.where(reached, first, -1)), nearer

        nowhere = jnp.full((QUERY_BLOCK,), -1, jnp.int32)
        start = jnp.full((QUERY_BLOCK,), -1.0, jnp.float32), nowhere, nowhere, nowhere
        last, kth, _, nearer = jax.lax.fori_loop(0, k, find, start)

        # Among equal candidates for the last place the latest that no nearer point follows.
        def look_again(block: Array, latest: Array) -> Array:
            number, squared = distances(block)
            equal = squared == last[:, None]
            return jnp.maximum(latest, jnp.where(equal, number, -1))

        none = jnp.full(tile, -1, jnp.int32)
        by_place = jax.lax.fori_loop(0, pl.cdiv(n, POINT_BLOCK), look_again, none)
        latest = jnp.max(by_place, axis=1)
        replaces = (latest > jnp.maximum(nearer, kth)) & (last <= FAR)
        plgpu.store(indices_ref.at[cloud, row, k - 1], latest, mask=real & replaces)

    indices, squared = pl.pallas_call(
        kernel,
        out_shape=(
            jax.ShapeDtypeStruct((b, m, k), jnp.int32),
            jax.ShapeDtypeStruct((b, m, k), jnp.float32),
        ),
        grid=(b, pl.cdiv(m, QUERY_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=pl.CostEstimate(
            flops=b * m * n * k * (3 * d + 4),
            transcendentals=0,
            bytes_accessed=points.nbytes + queries.nbytes + 8 * b * m * k,
        ),
        interpret=interpret,
    )(points, queries)
    return indices, squared
