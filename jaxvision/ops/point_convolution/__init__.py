"""Convolutions on points: features of neighbours, weighted by a network of their offsets
(PointConv, 1811.07246; CamLiFlow, 2303.12017).

    point_convolution(features, weights, neighbours)            # [b, m, w * c], for a linear map
    depthwise_point_convolution(features, weights, neighbours)  # [b, m, c]

Implementations of the depthwise one: "reference" (any device, a neighbour at a time) and "triton"
(NVIDIA GPUs, up to 256 channels). On a TPU the reference runs: it takes 2.4 MB where the features
of all neighbours take 539 (eight samples of 2,048 points, 32 neighbours, 128 channels, both ways).
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import choose, kernel_or_reference
from jaxvision.ops.grouping import group_points
from jaxvision.ops.point_convolution import reference, triton

MAXIMA: dict[str, Callable[..., Array]] = {
    "reference": reference.weighted_maximum,
    "triton": triton.weighted_maximum,
}


def point_convolution(
    features: Float[Array, "b n c"],
    weights: Float[Array, "b m k w"],
    neighbours: Int[Array, "b m k"],
) -> Float[Array, "b m wc"]:
    """sum over k of weights[w] * features[c] of the neighbours, w slow, in the features' dtype."""
    _check("point_convolution", features, weights, neighbours)
    grouped = group_points(features, neighbours)
    summed = jnp.einsum(
        "bmkw,bmkc->bmwc", weights.astype(features.dtype), grouped, precision="highest"
    )
    return summed.reshape(*summed.shape[:2], -1)


def depthwise_point_convolution(
    features: Float[Array, "b n c"],
    weights: Float[Array, "b m k c"],
    neighbours: Int[Array, "b m k"],
    *,
    implementation: str | None = None,
) -> Float[Array, "b m c"]:
    """The maximum over k of weights * features of the neighbours, in the features' dtype.

    The gradient goes to the first neighbour that has the maximum.
    """
    _check("depthwise_point_convolution", features, weights, neighbours)
    if weights.shape[3] != features.shape[2]:
        raise InputError(
            f"depthwise_point_convolution: weights {weights.shape} for features {features.shape}: "
            "expected a weight for each channel"
        )
    prefer = partial(_preferred, features.shape[2])
    name = choose("depthwise_point_convolution", implementation, MAXIMA, prefer)
    return MAXIMA[name](features, weights, neighbours)


def _preferred(channels: int, platform: str) -> str:
    fits = platform == "gpu" and channels <= triton.MOST_CHANNELS
    return kernel_or_reference(platform) if fits else "reference"


def _check(name: str, features: Array, weights: Array, neighbours: Array) -> None:
    """InputError for shapes that do not fit."""
    ranks = features.ndim, weights.ndim, neighbours.ndim
    if ranks != (3, 4, 3) or weights.shape[:3] != neighbours.shape or 0 in neighbours.shape:
        raise InputError(
            f"{name}: features {features.shape}, weights {weights.shape}, neighbours "
            f"{neighbours.shape}: expected [b, n, c], [b, m, k, w] and [b, m, k]"
        )
    if features.shape[0] != neighbours.shape[0]:
        raise InputError(
            f"{name}: features {features.shape} for neighbours {neighbours.shape}: expected equal b"
        )
