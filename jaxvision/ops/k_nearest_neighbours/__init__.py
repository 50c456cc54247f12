"""The k nearest points of each query, nearest first.

    indices, squared_distances = k_nearest_neighbours(points, queries, k=16)

As CamLiFlow's CUDA kernel has it (2303.12017, `k_nearest_neighbor_kernel.cu`): distances come from
differences of coordinates, since the expansion a^2 + b^2 - 2ab swaps near neighbours in float32.
Equal distances stand in the order of the points, except that in the last of the k places a later
point replaces an equal one. A squared distance above `FAR`, or NaN, is never found.
"""

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import TPU_ROOM, choose, kernel_or_reference
from jaxvision.ops.k_nearest_neighbours import mosaic_tpu, reference, triton
from jaxvision.ops.k_nearest_neighbours.reference import FAR

__all__ = ["FAR", "MOST_NEIGHBOURS", "Neighbours", "k_nearest_neighbours"]

MOST_NEIGHBOURS = 64
Search = Callable[..., tuple[Array, Array]]


class Neighbours(NamedTuple):
    """Both ordered from the nearest; a place for which there is no point within reach has index 0
    and squared distance `FAR`."""

    indices: Int[Array, "b m k"]
    squared_distances: Float[Array, "b m k"]


SEARCHES: dict[str, Search] = {
    "reference": reference.nearest,
    "mosaic_tpu": mosaic_tpu.nearest,
    "triton": triton.nearest,
}


def k_nearest_neighbours(
    points: Float[Array, "b n d"],
    queries: Float[Array, "b m d"],
    k: int,
    *,
    implementation: str | None = None,
) -> Neighbours:
    """The k points nearest to each query, in float32, without gradient.

    points, queries: clouds of as many coordinates, in any unit.  k: 1 to 64, at most n.
    Takes memory for a block of distances, whatever the size of the clouds.
    InputError for shapes that do not fit or an implementation that cannot run here.
    """
    check(points, queries, k)
    room = mosaic_tpu.working_set(points.shape[1], points.shape[2], k)
    name = choose("k_nearest_neighbours", implementation, SEARCHES, partial(_preferred, room))
    points, queries = jax.lax.stop_gradient((points, queries))
    return Neighbours(*SEARCHES[name](points, queries, k))


def _preferred(room: int, platform: str) -> str:
    if platform == "tpu" and room > TPU_ROOM:
        return "reference"
    return kernel_or_reference(platform)


def check(points: Array, queries: Array, k: int) -> None:
    """InputError for the first thing that does not fit."""

    def refuse(problem: str) -> None:
        raise InputError(f"k_nearest_neighbours: {problem}")

    for name, cloud in (("points", points), ("queries", queries)):
        if cloud.ndim != 3 or 0 in cloud.shape:
            refuse(f"{name} {cloud.shape}: expected [b, n, d] with nothing empty")
    if (points.shape[0], points.shape[2]) != (queries.shape[0], queries.shape[2]):
        refuse(f"points {points.shape} and queries {queries.shape}: expected equal b and d")
    if not isinstance(k, Integral) or not 1 <= k <= min(points.shape[1], MOST_NEIGHBOURS):
        refuse(f"k={k}: expected 1 to {min(points.shape[1], MOST_NEIGHBOURS)}, of {points.shape}")
