"""The search on a TPU: rounds of minimum and mask over distances that never leave the chip.

Grid: (clouds, tiles of 128 queries), independent. Queries lie on lanes and points on sublanes, so
that a minimum over points is one between registers. In VMEM a program has all points [n, d] of its
cloud (d is padded to 128 lanes), a tile of queries [d, 128], and the distances [n, 128] in scratch,
which the points' number bounds. Distances are made once, since spreading a point's coordinate over
the lanes is the dear part of one. A round finds the first of the smallest, and the next round masks
it while it looks for its own: one pass over the scratch a round, `ROWS` points at a time, so that
the program's size does not grow with the cloud.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.k_nearest_neighbours.reference import FAR

QUERY_TILE = 128
ROWS = 256


def working_set(n: int, d: int, k: int) -> int:
    """Bytes on the chip at once: points and tiles in two buffers, distances in one."""
    points = 2 * -(-n // ROWS) * ROWS * -(-d // QUERY_TILE) * QUERY_TILE
    tiles = 2 * QUERY_TILE * (-(-d // 8) + 2 * -(-k // 8)) * 8
    return 4 * (points + tiles + -(-n // ROWS) * ROWS * QUERY_TILE)


def nearest(
    points: Float[Array, "b n d"], queries: Float[Array, "b m d"], k: int, interpret: Any = False
) -> tuple[Int[Array, "b m k"], Float[Array, "b m k"]]:
    """See `reference.nearest`; `working_set` is at most a core's memory."""
    clouds = points.astype(jnp.float32), queries.astype(jnp.float32)
    return over_batch(lambda p, q: _nearest(p, q, k, interpret), *clouds)


def search(
    points_ref: Any, queries_ref: Any, indices_ref: Any, squared_ref: Any, distance_ref: Any
) -> None:
    """Inside a kernel: the k nearest of a tile of queries.

    points_ref [n, d], `padded`.  queries_ref [d, 128].  indices_ref, squared_ref [k, 128]: are
    written.  distance_ref [n, 128]: room.
    """
    n, d = points_ref.shape
    k = indices_ref.shape[0]
    rows = min(ROWS, n)
    infinite = jnp.full((1, QUERY_TILE), jnp.inf, jnp.float32)
    nowhere = jnp.full((1, QUERY_TILE), -1, jnp.int32)

    def part(block: Array) -> tuple[Any, Array]:
        """(the rows of a block, their numbers)."""
        number = jax.lax.broadcasted_iota(jnp.int32, (rows, QUERY_TILE), 0) + block * rows
        return pl.ds(pl.multiple_of(block * rows, 8), rows), number

    # 1. Distances from differences of coordinates.
    def measure(block: Array, _: None) -> None:
        place = part(block)[0]
        squared = jnp.zeros((rows, QUERY_TILE), jnp.float32)
        for axis in range(d):
            difference = queries_ref[axis : axis + 1, :] - points_ref[place, axis : axis + 1]
            squared += difference * difference
        distance_ref[place, :] = jnp.where(squared <= FAR, squared, jnp.inf)

    jax.lax.fori_loop(0, n // rows, measure, None)

    # 2. k times the first of the smallest, without the one found before.
    def find(turn: Array, found: Array) -> Array:
        def look(block: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            place, number = part(block)
            squared = jnp.where(number == found, jnp.inf, distance_ref[place, :])
            distance_ref[place, :] = squared
            least = jnp.min(squared, axis=0, keepdims=True)
            first = jnp.min(jnp.where(squared == least, number, n), axis=0, keepdims=True)
            closer = least < best[0]
            return jnp.where(closer, least, best[0]), jnp.where(closer, first, best[1])

        least, first = jax.lax.fori_loop(0, n // rows, look, (infinite, nowhere))
        reached = least <= FAR
        indices_ref[pl.ds(turn, 1), :] = jnp.where(reached, first, 0)
        squared_ref[pl.ds(turn, 1), :] = jnp.where(reached, least, FAR)
        return first

    jax.lax.fori_loop(0, k, find, nowhere)

    # 3. Among equal candidates for the last place the latest that no nearer point follows.
    last = squared_ref[k - 1 : k, :]

    def look_again(block: Array, latest: Array) -> Array:
        place, number = part(block)
        equal = jnp.where(distance_ref[place, :] == last, number, -1)
        return jnp.maximum(latest, jnp.max(equal, axis=0, keepdims=True))

    latest = jax.lax.fori_loop(0, n // rows, look_again, nowhere)
    closer = jnp.where(squared_ref[...] < last, indices_ref[...], -1)
    nearer = jnp.max(closer, axis=0, keepdims=True)
    kth = indices_ref[k - 1 : k, :]
    indices_ref[k - 1 : k, :] = jnp.where(latest > jnp.maximum(nearer, kth), latest, kth)


def padded(points: Float[Array, "b n d"], value: float = jnp.inf) -> Float[Array, "b rows d"]:
    """Whole blocks of points; those of the padding are out of reach."""
    n = points.shape[1]
    rows = min(ROWS, -(-n // 8) * 8)
    return jnp.pad(points, ((0, 0), (0, -n % rows), (0, 0)), constant_values=value)


def _nearest(points: Array, queries: Array, k: int, interpret: Any) -> tuple[Array, Array]:
    b, n, d = points.shape
    m = queries.shape[1]
    points = padded(points)

    def tile(size: int) -> pl.BlockSpec:
        return pl.BlockSpec((None, size, QUERY_TILE), lambda i, t: (i, 0, t))

    found = pl.pallas_call(
        search,
        out_shape=(
            jax.ShapeDtypeStruct((b, k, m), jnp.int32),
            jax.ShapeDtypeStruct((b, k, m), jnp.float32),
        ),
        grid=(b, pl.cdiv(m, QUERY_TILE)),
        in_specs=[pl.BlockSpec((None, points.shape[1], d), lambda i, t: (i, 0, 0)), tile(d)],
        out_specs=(tile(k), tile(k)),
        scratch_shapes=[pltpu.VMEM((points.shape[1], QUERY_TILE), jnp.float32)],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel")),
        cost_estimate=pl.CostEstimate(
            flops=b * m * n * (3 * d + 4 * k),
            transcendentals=0,
            bytes_accessed=points.nbytes + queries.nbytes + 8 * b * m * k,
        ),
        interpret=interpret,
    )(points, jnp.swapaxes(queries, 1, 2))
    indices, squared = (jnp.swapaxes(each, 1, 2) for each in found)
    return indices, squared
