"""OpenCV's bilinear resizing of 8-bit pictures, bit by bit: weights in 1/2048 and sums that drop
bits on the way. `resize_uint8` is up to a level away, of which a turn of hues in 8 bits makes up to
eight."""

import numpy as np
from jaxtyping import Int, UInt8

BITS = 11  # of a weight
DROPPED = 4  # bits of a sum along a row


def _taps(old: int, new: int) -> tuple[Int[np.ndarray, " new"], Int[np.ndarray, "2 new"]]:
    """Lower neighbour of each new sample of an axis, and the weights of it and of the next one."""
    place = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    low = np.floor(place).astype(np.int64)
    share = np.where((low < 0) | (low >= old - 1), 0, place - low).astype(np.float32)
    weights = np.stack([1 - share, share]) * np.float32(1 << BITS)
    return np.clip(low, 0, old - 1), np.rint(weights).astype(np.int64)


def opencv_resize(
    frames: UInt8[np.ndarray, "t h w c"], size: tuple[int, int]
) -> UInt8[np.ndarray, "t h2 w2 c"]:
    """Frames at `size` (height, width); those of that size already are returned as they are."""
    height, width = frames.shape[1:3]
    if (height, width) == tuple(size):
        return frames
    low, (first, second) = _taps(width, size[1])
    high = np.minimum(low + 1, width - 1)
    wide = frames.astype(np.int64)
    lines = wide[:, :, low] * first[:, None] + wide[:, :, high] * second[:, None]
    low, (first, second) = _taps(height, size[0])
    high = np.minimum(low + 1, height - 1)
    upper, lower = (
        ((lines[:, rows] >> DROPPED) * weights[:, None, None]) >> 16
        for rows, weights in ((low, first), (high, second))
    )
    return ((upper + lower + 2) >> 2).astype(np.uint8)
