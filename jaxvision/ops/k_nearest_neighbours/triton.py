"""The search on NVIDIA GPUs: rounds of a minimum over distances that are made anew each time.

Grid: (clouds, blocks of 32 queries). A round runs over the points, 64 at a time: [32, 64] distances
in registers, of which those that come after the last one found (further, or as far and later) may
be taken. Every place of the tile keeps its own best, and only the end of the round compares places.
Nothing but coordinates is read, from the cache: nine operations a distance cost less than to keep
distances anywhere.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

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


class Queries(NamedTuple):
    """What a program owns.  row [32]: numbers of queries.  real: whether there is such a one."""

    cloud: Array
    row: Array
    real: Array


def queries_of_program(count: int) -> Queries:
    row = pl.program_id(1) * QUERY_BLOCK + jnp.arange(QUERY_BLOCK)
    return Queries(pl.program_id(0), row, row < count)


def search(points_ref: Any, queries_ref: Any, k: int, keep: Callable[..., None]) -> None:
    """Inside a kernel: the k nearest points [b, n, d] of the program's queries [b, m, d].

    keep(turn, indices, squared): is called for each of the k places, in order.
    """
    n, d = points_ref.shape[1:]
    cloud, row, real = queries_of_program(queries_ref.shape[1])
    tile, blocks = (QUERY_BLOCK, POINT_BLOCK), pl.cdiv(n, POINT_BLOCK)
    asked = [
        plgpu.load(queries_ref.at[cloud, row, axis], mask=real, other=0.0) for axis in range(d)
    ]

    def distances(block: Array) -> tuple[Array, Array]:
        """(number of each point, squared distances) of a block of points."""
        number = block * POINT_BLOCK + jnp.arange(POINT_BLOCK)
        squared = jnp.zeros(tile, jnp.float32)
        for axis, place in enumerate(asked):
            theirs = plgpu.load(points_ref.at[cloud, number, axis], mask=number < n, other=jnp.inf)
            difference = place[:, None] - theirs[None, :]
            squared += difference * difference
        number = jnp.broadcast_to(number[None, :], tile)
        return number, jnp.where(squared <= FAR, squared, jnp.inf)

    def following(least: Array, place: Array) -> tuple[Array, Array]:
        """(squared distance, index) of what comes after the one found last."""

        def look(block: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            number, squared = distances(block)
            later = (squared == least[:, None]) & (number > place[:, None])
            free = (squared > least[:, None]) | later
            closer = free & (squared < best[0])
            return jnp.where(closer, squared, best[0]), jnp.where(closer, number, best[1])

        start = jnp.full(tile, jnp.inf, jnp.float32), jnp.full(tile, n, jnp.int32)
        best, numbers = jax.lax.fori_loop(0, blocks, look, start)
        found = jnp.min(best, axis=1)
        return found, jnp.min(jnp.where(best == found[:, None], numbers, n), axis=1)

    def put(turn: Any, index: Array, squared: Array) -> Array:
        reached = squared <= FAR
        keep(turn, jnp.where(reached, index, 0), jnp.where(reached, squared, FAR))
        return reached

    # furthest_on: the latest of all found; nearer: of those that are nearer than the last.
    def find(turn: Array, before: tuple[Array, ...]) -> tuple[Array, ...]:
        least, place, furthest_on, nearer = before
        squared, index = following(least, place)
        reached = put(turn, index, squared)
        nearer = jnp.where(squared > least, furthest_on, nearer)
        return squared, index, jnp.maximum(furthest_on, jnp.where(reached, index, -1)), nearer

    nowhere = jnp.full((QUERY_BLOCK,), -1, jnp.int32)
    start = jnp.full((QUERY_BLOCK,), -1.0, jnp.float32), nowhere, nowhere, nowhere
    least, place, furthest_on, nearer = jax.lax.fori_loop(0, k - 1, find, start)

    # Among equal candidates for the last place the latest that no nearer point follows.
    last, kth = following(least, place)
    nearer = jnp.where(last > least, furthest_on, nearer)

    def look_again(block: Array, latest: Array) -> Array:
        number, squared = distances(block)
        equal = squared == last[:, None]
        return jnp.maximum(latest, jnp.where(equal, number, -1))

    by_place = jax.lax.fori_loop(0, blocks, look_again, jnp.full(tile, -1, jnp.int32))
    latest = jnp.max(by_place, axis=1)
    put(k - 1, jnp.where(latest > jnp.maximum(nearer, kth), latest, kth), last)


def _nearest(points: Array, queries: Array, k: int, interpret: Any) -> tuple[Array, Array]:
    b, n, d = points.shape
    m = queries.shape[1]

    def kernel(points_ref, queries_ref, indices_ref, squared_ref):
        cloud, row, real = queries_of_program(m)

        def keep(turn: Any, index: Array, squared: Array) -> None:
            plgpu.store(indices_ref.at[cloud, row, turn], index, mask=real)
            plgpu.store(squared_ref.at[cloud, row, turn], squared, mask=real)

        search(points_ref, queries_ref, k, keep)

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
