"""Points of a cloud, each the furthest from those before it (PointNet++, 1706.02413, section 3.2).

    indices = furthest_point_sampling(points, samples=4096)

The first is point 0. Of equally far points CamLiFlow's CUDA kernel (2303.12017) takes the one whose
index modulo 1024 is largest when its ten bits are read backwards, then the smallest index: so do
all implementations here: "reference" (any device), "mosaic_tpu" and "triton", which keep a cloud on
the chip for all steps (up to some 330,000 and 16,384 points).
"""

from collections.abc import Callable
from functools import partial
from numbers import Integral

import jax
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import TPU_ROOM, choose, kernel_or_reference
from jaxvision.ops.furthest_point_sampling import mosaic_tpu, reference, triton
from jaxvision.ops.furthest_point_sampling.tie_order import in_tie_order

SAMPLERS: dict[str, Callable[..., Array]] = {
    "reference": reference.sample,
    "mosaic_tpu": mosaic_tpu.sample,
    "triton": triton.sample,
}


def furthest_point_sampling(
    points: Float[Array, "b n d"], samples: int, *, implementation: str | None = None
) -> Int[Array, "b samples"]:
    """Indices of `samples` points of each cloud, in the order in which they are found.

    points: finite coordinates in any unit; distances are float32, below 1e10 squared. A prefix of
    the result is the sampling of fewer points. No gradient.
    InputError for a cloud of fewer points or an implementation that cannot run here.
    """
    if points.ndim != 3 or 0 in points.shape:
        raise InputError(
            f"furthest_point_sampling: points {points.shape}: expected [b, n, d], nothing empty"
        )
    if not isinstance(samples, Integral) or not 1 <= samples <= points.shape[1]:
        raise InputError(
            f"furthest_point_sampling: samples={samples}: expected 1 to {points.shape[1]}, the "
            f"points of {points.shape}"
        )
    prefer = partial(_preferred, points.shape[1], points.shape[2])
    name = choose("furthest_point_sampling", implementation, SAMPLERS, prefer)
    return in_tie_order(SAMPLERS[name], jax.lax.stop_gradient(points), samples)


def _preferred(n: int, d: int, platform: str) -> str:
    if platform == "tpu" and mosaic_tpu.working_set(n, d) > TPU_ROOM:
        return "reference"
    if platform == "gpu" and n > triton.MOST_POINTS:
        return "reference"
    return kernel_or_reference(platform)
