"""Shifts of hue, saturation and value in 8 bits, with OpenCV's rounding: hue counts 0 to 179 around
the circle, saturation and value 0 to 255."""

import numpy as np
from jaxtyping import Int, UInt8

HUES = 180
SHIFT = 12  # bits of the fixed-point tables
# Where blue, green and red stand among (value, least, falling, rising), for each sixth of hues.
SECTORS = np.array([[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]])


def _table(numerator: float) -> Int[np.ndarray, " 256"]:
    """numerator / i in fixed point; 0 for i = 0."""
    return np.rint((numerator * (1 << SHIFT)) / np.maximum(np.arange(256), 1)).astype(np.int64) * (
        np.arange(256) > 0
    )


BY_VALUE, BY_DIFFERENCE = _table(255), _table(HUES / 6)


def rgb_to_hsv(pixels: UInt8[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """Hue (of 180), saturation and value (of 255) of RGB."""
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    value = pixels.max(axis=-1).astype(np.int64)
    spread = value - pixels.min(axis=-1)
    half = 1 << (SHIFT - 1)
    saturation = (spread * BY_VALUE[value] + half) >> SHIFT
    sixths = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = (sixths * BY_DIFFERENCE[spread] + half) >> SHIFT
    hue += np.where(hue < 0, HUES, 0)
    return np.stack([hue, saturation, value], axis=-1).astype(np.uint8)


def hsv_to_rgb(pixels: UInt8[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """RGB of hue (of 180), saturation and value (of 255), cut to whole numbers."""
    hue, saturation, value = np.moveaxis(pixels.astype(np.float32), -1, 0)
    unit = np.float32(1 / 255)
    hue, saturation, value = hue * np.float32(6 / HUES), saturation * unit, value * unit
    sector = np.floor(hue).astype(np.int64)
    share = hue - sector
    parts = np.stack(
        [
            value,
            value * (1 - saturation),
            value * (1 - saturation * share),
            value * (1 - saturation * (1 - share)),
        ],
        axis=-1,
    )
    blue_green_red = np.take_along_axis(parts, SECTORS[sector % 6], axis=-1)
    return (blue_green_red[..., ::-1] * np.float32(255)).astype(np.uint8)  # cut, as OpenCV does


def shift_hsv(
    frames: UInt8[np.ndarray, "t h w 3"], hue: int, saturation: int, value: int
) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames with hues turned by `hue` of 180, and saturation and value moved by so many of 255,
    clipped (CycleACR)."""
    shifted = rgb_to_hsv(frames).astype(np.int64)
    shifted[..., 0] = (shifted[..., 0] + hue) % HUES
    shifted[..., 1:] = np.clip(shifted[..., 1:] + (saturation, value), 0, 255)
    return hsv_to_rgb(shifted.astype(np.uint8))
