"""Windows of correlations between two feature maps around moving places (RAFT, 2003.12039, section
3.2).

    pyramid = correlation_pyramid(first, second, levels=4)        # once a pair
    windows = correlation_lookup(pyramid, where, radius=4)        # every iteration

Two forms. "on_demand" keeps the feature maps alone: averaging the second map averages its
correlations, so a window is a few products with a smaller map, and nothing as large as all pairs is
ever made, forward or backward. "volume" makes the correlations of all pairs once (353 MB a sample
of 544 x 960 pixels, as much again for the gradient) and reads windows from them.

Implementations of the on-demand form: "reference" (any device), "mosaic_tpu" (products with the
rows that windows touch; second maps of up to 12 MB a sample) and "triton" (gathers on NVIDIA GPUs;
up to 256 channels).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.ops.correlation_lookup import mosaic_tpu, reference, triton, volume
from jaxvision.ops.correlation_lookup.windows import blend, window_corners
from jaxvision.ops.dispatch import TPU_ROOM, choose, kernel_or_reference

Form = Literal["on_demand", "volume"]
FORMS: tuple[Form, ...] = ("on_demand", "volume")
Products = Callable[..., Array]


class FeaturePyramid(NamedTuple):
    """The form "on_demand".  first: features over sqrt(c).  second: maps of halving size."""

    first: Float[Array, "b h w c"]
    second: tuple[Float[Array, "b hi wi c"], ...]


class CorrelationVolumes(NamedTuple):
    """The form "volume".  levels: the correlations of each pixel (h*w) with every place of the
    second map at each level."""

    levels: tuple[Float[Array, "b pixels hi wi"], ...]


PRODUCTS: dict[str, Products] = {
    "reference": reference.window_products,
    "mosaic_tpu": mosaic_tpu.window_products,
    "triton": triton.window_products,
}


def correlation_pyramid(
    first: Float[Array, "b h w c"],
    second: Float[Array, "b h2 w2 c"],
    levels: int = 4,
    form: Form = "on_demand",
) -> FeaturePyramid | CorrelationVolumes:
    """What `correlation_lookup` reads: dot products over sqrt(c), of the second map at full size
    and averaged over 2 x 2 pixels `levels` - 1 times (an odd last row or column is dropped).

    InputError where a level would be empty, or for an unknown form.
    """
    if first.ndim != 4 or second.ndim != 4 or first.shape[::3] != second.shape[::3]:
        raise InputError(
            f"correlation_pyramid: {first.shape} and {second.shape}: expected two [b, h, w, c] of "
            "equal b and c"
        )
    least = 2 ** (levels - 1)
    if levels < 1 or min(second.shape[1:3]) < least:
        raise InputError(
            f"correlation_pyramid: second {second.shape} for {levels} levels: expected at least "
            f"{least} rows and columns"
        )
    if form not in FORMS:
        raise InputError(f"correlation_pyramid: form {form!r}: expected 'on_demand' or 'volume'")
    scaled = first / math.sqrt(first.shape[-1])
    if form == "volume":
        return CorrelationVolumes(volume.all_pairs(scaled, second, levels))
    maps = [second]
    for _ in range(levels - 1):
        maps.append(volume.halved(maps[-1]))
    return FeaturePyramid(scaled, tuple(maps))


def correlation_lookup(
    pyramid: FeaturePyramid | CorrelationVolumes,
    where: Float[Array, "b h w 2"],
    radius: int = 4,
    *,
    implementation: str | None = None,
) -> Float[Array, "b h w channels"]:
    """Correlations of every pixel of the first map with a window of the second, in float32.

    where: (x, y) in pixels of the second map's full size, the middle of the window of each pixel;
        level i reads around where / 2**i. Outside the map, and where it is not finite, lie zeros.
    Returns levels * (2 * radius + 1)**2 channels: by level, then by the offset in x, then in y.
    Differentiable in the features and in `where`.
    """
    if where.ndim != 4 or where.shape[-1] != 2 or radius < 0:
        raise InputError(
            f"correlation_lookup: where {where.shape}, radius {radius}: expected [b, h, w, 2] and "
            "at least 0"
        )
    b, height, width = where.shape[:3]
    places = where.astype(jnp.float32).reshape(b, height * width, 2)
    side, found = 2 * radius + 2, []
    if isinstance(pyramid, FeaturePyramid):
        if pyramid.first.shape[:3] != where.shape[:3]:
            raise InputError(
                f"correlation_lookup: where {where.shape} for features {pyramid.first.shape}: "
                "expected a place for each pixel"
            )
        prefer = partial(_preferred, pyramid.second[0], side)
        name = choose("correlation_lookup", implementation, PRODUCTS, prefer)
        rows = pyramid.first.reshape(b, height * width, -1)
        levels = pyramid.second

        def read(level: Array, corners: Int[Array, "b m 2"]) -> Array:
            return PRODUCTS[name](rows, level, corners, side)
    else:
        levels = pyramid.levels

        def read(level: Array, corners: Int[Array, "b m 2"]) -> Array:
            return volume.window_values(level, corners, side)

    for number, level in enumerate(levels):
        axis = 1 if isinstance(pyramid, FeaturePyramid) else 2
        size = level.shape[axis], level.shape[axis + 1]
        corners, shares = window_corners(places / 2**number, size, radius)
        found.append(blend(read(level, corners), shares))
    return jnp.concatenate(found, axis=-1).reshape(b, height, width, -1)


def _preferred(largest: Array, side: int, platform: str) -> str:
    _, height, width, channels = largest.shape
    room = mosaic_tpu.working_set((height, width), channels, largest.dtype.itemsize, side)
    if platform == "tpu" and room > TPU_ROOM:
        return "reference"
    if platform == "gpu" and channels > triton.MOST_CHANNELS:
        return "reference"
    return kernel_or_reference(platform)
