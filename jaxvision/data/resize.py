"""Bilinear resizing without antialiasing, centres at half pixels, edges repeated: what OpenCV and
PyTorch call bilinear. (Pillow's bilinear averages when it shrinks, which is another picture.)"""

import numpy as np
from jaxtyping import Float, Num, UInt8

from jaxvision.data.crops import Box, short_side_size


def resize(
    frames: Num[np.ndarray, "t h w c"], size: tuple[int, int]
) -> Float[np.ndarray, "t h2 w2 c"]:
    """Frames of any number type at `size` (height, width), float32."""
    count, height, width, channels = frames.shape
    out = np.empty((count, size[0], size[1] * channels), np.float32)
    # Frame by frame, so that what lies between stays in the cache.
    for frame, resized in zip(frames, out, strict=True):
        rows = _mixed(frame.reshape(height, width * channels), height, size[0], 0)
        resized[:] = _mixed(rows, width, size[1], 1, channels)
    return out.reshape(count, *size, channels)


def _mixed(
    lines: Num[np.ndarray, "a b"], old: int, new: int, axis: int, channels: int = 1
) -> Num[np.ndarray, "a2 b2"]:
    """One axis at its new length. channels: numbers that follow each other at each sample of it."""
    if old == new:
        return lines
    low, high, share = (_each(x, channels) for x in _taps(old, new))
    lower, upper = lines.take(low, axis), lines.take(high, axis)
    mixed = np.subtract(upper, lower, dtype=np.float32)
    mixed *= share[:, None] if axis == 0 else share
    mixed += lower
    return mixed


def _each(taps: np.ndarray, channels: int) -> np.ndarray:
    """Of every number of a sample, where `taps` is of samples."""
    if channels == 1:
        return taps
    repeated = np.repeat(taps, channels)
    if taps.dtype == np.float32:
        return repeated
    return repeated * channels + np.tile(np.arange(channels), len(taps))


def resize_uint8(
    frames: UInt8[np.ndarray, "t h w c"], size: tuple[int, int]
) -> UInt8[np.ndarray, "t h2 w2 c"]:
    """`resize`, rounded to 8 bits; frames of that size already are returned as they are."""
    if frames.shape[1:3] == tuple(size):
        return frames
    return np.rint(resize(frames, size)).astype(np.uint8)


def resize_short_side(
    frames: UInt8[np.ndarray, "t h w c"], short_side: int
) -> UInt8[np.ndarray, "t h2 w2 c"]:
    """Frames whose shorter side is `short_side`, aspect kept."""
    height, width = frames.shape[1:3]
    return resize_uint8(frames, short_side_size(height, width, short_side))


def resized_crop(
    frames: Num[np.ndarray, "t h w c"], box: Box, size: tuple[int, int]
) -> Float[np.ndarray, "t h2 w2 c"]:
    """The inside of a box at `size`, float32."""
    return resize(box.cut(frames), size)


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lower sample, upper sample, share of the upper one) of each new sample."""
    source = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.floor(source).astype(np.int64)
    return low, np.minimum(low + 1, old - 1), (source - low).astype(np.float32)
