"""Bilinear resizing without antialiasing, centres at half pixels, edges repeated: what OpenCV and
PyTorch call bilinear. (Pillow's bilinear averages when it shrinks, which is another picture.)"""

import numpy as np
from jaxtyping import Float, Num, UInt8

from jaxvision.data.crops import Box, short_side_size


def resize(
    frames: Num[np.ndarray, "t h w c"], size: tuple[int, int]
) -> Float[np.ndarray, "t h2 w2 c"]:
    """Frames of any number type at `size` (height, width), float32."""
    height, width = frames.shape[1:3]
    low, high, share = _taps(height, size[0])
    share = share[:, None, None]
    # Rows first: whole rows are contiguous, and the other axis is then smaller.
    top = frames[:, low].astype(np.float32)
    if share.any():
        top += (frames[:, high] - top) * share
    low, high, share = _taps(width, size[1])
    left = top[:, :, low]
    if share.any():
        left += (top[:, :, high] - left) * share[:, None]
    return left


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
    if old == new:
        same = np.arange(old)
        return same, same, np.zeros(old, np.float32)
    source = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.floor(source).astype(np.int64)
    return low, np.minimum(low + 1, old - 1), (source - low).astype(np.float32)
