"""From 8-bit pixels to what networks see: the statistics that published weights were made with."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxvision.errors import check_choice


class PixelStatistics(NamedTuple):
    """Mean and standard deviation of RGB values in [0, 1]."""

    mean: Float[np.ndarray, " 3"]
    deviation: Float[np.ndarray, " 3"]


def _statistics(mean: tuple[float, ...], deviation: tuple[float, ...]) -> PixelStatistics:
    return PixelStatistics(np.array(mean, np.float32), np.array(deviation, np.float32))


IMAGENET = _statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = _statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # Inception's, and AugReg's
CLIP = _statistics((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
BY_NAME = {"imagenet": IMAGENET, "half": HALF, "clip": CLIP}


def statistics(name: str) -> PixelStatistics:
    """By name, as a recipe's `data.normalisation` gives it. InputError names the nearest one."""
    check_choice("data.normalisation", name, BY_NAME)
    return BY_NAME[name]


def to_unit(pixels: UInt8[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """Pixel values in [0, 1], float32."""
    return jnp.asarray(pixels, jnp.float32) / 255


def normalise(
    pixels: UInt8[Array, "*b h w 3"], statistics: PixelStatistics = IMAGENET
) -> Float[Array, "*b h w 3"]:
    """Pixels in [0, 1] less the mean, over the deviation, float32."""
    return (to_unit(pixels) - statistics.mean) / statistics.deviation
