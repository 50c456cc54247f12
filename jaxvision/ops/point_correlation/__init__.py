"""Correlations of points with their nearest points in another cloud (CamLiFlow, 2303.12017, the 3D
branch of CamLiRAFT).

    levels = [second]                                            # once a pair
    levels.append(neighbour_means(xyz2[0], levels[0], xyz2[1]))  # and so on
    cost = point_correlation(first, levels[i], xyz1, warped[i])  # every iteration and level

The published volume of all pairs is linear in the second cloud's features, so that averaging
features over three neighbours is averaging correlations; and of a volume only k columns a point are
read. Here nothing as large as all pairs, or as the features of all neighbours, is ever in memory,
forward or backward.

Implementations: "reference" (any device), "mosaic_tpu" (search, products and picking in one kernel;
second clouds of up to 5,376 points of 128 channels) and "triton" (search and gathers in one kernel,
NVIDIA GPUs; up to 256 channels). Where a kernel does not fit, the search alone runs in
`k_nearest_neighbours`' one.
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import TPU_ROOM, choose, kernel_or_reference
from jaxvision.ops.k_nearest_neighbours import check as check_search
from jaxvision.ops.point_correlation import mosaic_tpu, reference, triton
from jaxvision.ops.point_correlation.means import neighbour_means

__all__ = ["neighbour_means", "point_correlation"]

CORRELATIONS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "reference": reference.correlations,
    "mosaic_tpu": mosaic_tpu.correlations,
    "triton": triton.correlations,
}


def point_correlation(
    first: Float[Array, "b n c"],
    second: Float[Array, "b m c"],
    xyz1: Float[Array, "b n 3"],
    xyz2: Float[Array, "b m 3"],
    k: int = 16,
    *,
    implementation: str | None = None,
) -> Float[Array, "b n k 4"]:
    """(offset xyz2 - xyz1, mean over channels of first * second) of each point's k nearest of the
    second cloud, nearest first, in float32. Differentiable in all four arrays."""
    if first.shape[:2] != xyz1.shape[:2] or second.shape[:2] != xyz2.shape[:2]:
        raise InputError(
            f"point_correlation: features {first.shape}, {second.shape} for points {xyz1.shape}, "
            f"{xyz2.shape}: expected a row for each point"
        )
    if first.shape[2] != second.shape[2]:
        raise InputError(
            f"point_correlation: features {first.shape} and {second.shape}: expected equal channels"
        )
    check_search(xyz2, xyz1, k)
    name = choose("point_correlation", implementation, CORRELATIONS, partial(_preferred, second, k))
    places = xyz1.astype(jnp.float32), xyz2.astype(jnp.float32)
    if name == "reference":
        return reference.correlations(first, second, *places, k, implementation)[0]
    return CORRELATIONS[name](first, second, *places, k)[0]


def _preferred(second: Array, k: int, platform: str) -> str:
    _, m, channels = second.shape
    room = mosaic_tpu.working_set(m, channels, second.dtype.itemsize, k)
    if platform == "tpu" and room > TPU_ROOM:
        return "reference"
    if platform == "gpu" and channels > triton.MOST_CHANNELS:
        return "reference"
    return kernel_or_reference(platform)
