"""Bilinear resizing without antialiasing, centres at half pixels, edges repeated: what OpenCV and
PyTorch call bilinear. Pillow's bilinear averages when it shrinks, which is another picture:
`pillow_resized_crop`."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, UInt8
from PIL import Image

from jaxvision.data.crops import Box, short_side_size


def resize(
    frames: Num[np.ndarray, "t h w c"], size: tuple[int, int]
) -> Float[np.ndarray, "t h2 w2 c"]:
    """Frames of any number type at `size` (height, width), float32."""
    return _resized(frames, size, np.dtype(np.float32))


def resize_uint8(
    frames: UInt8[np.ndarray, "t h w c"], size: tuple[int, int]
) -> UInt8[np.ndarray, "t h2 w2 c"]:
    """`resize`, rounded to 8 bits; frames of that size already are returned as they are."""
    if frames.shape[1:3] == tuple(size):
        return frames
    return _resized(frames, size, np.dtype(np.uint8))


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


def resized_crop_uint8(
    frames: UInt8[np.ndarray, "t h w c"], box: Box, size: tuple[int, int], mirrored: bool
) -> UInt8[np.ndarray, "t h2 w2 c"]:
    """`resized_crop`, rounded to 8 bits, and with left and right exchanged if `mirrored`."""
    return _resized(box.cut(frames), size, np.dtype(np.uint8), mirrored)


def pillow_resized_crop(
    frames: UInt8[np.ndarray, "t h w 3"], box: Box, size: tuple[int, int]
) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """The inside of a box at `size` by Pillow's bilinear, antialiased where it shrinks."""
    height, width = size
    inside = [Image.fromarray(frame) for frame in box.cut(frames)]
    resized = (frame.resize((width, height), Image.Resampling.BILINEAR) for frame in inside)
    return np.stack([np.asarray(frame) for frame in resized])


class _Taps(NamedTuple):
    """What each new sample of an axis is mixed of."""

    low: Int[np.ndarray, " new"]
    high: Int[np.ndarray, " new"]
    share: Float[np.ndarray, " new"]  # of the higher one

    @classmethod
    def of(cls, old: int, new: int) -> "_Taps":
        source = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
        low = np.floor(source).astype(np.int64)
        return cls(low, np.minimum(low + 1, old - 1), (source - low).astype(np.float32))

    def of_every(self, channels: int) -> "_Taps":
        """For an axis whose every sample is `channels` numbers in a row."""
        numbers = np.arange(channels)
        low, high = ((x[:, None] * channels + numbers).ravel() for x in (self.low, self.high))
        return _Taps(low, high, np.repeat(self.share, channels))


def _resized(
    frames: Num[np.ndarray, "t h w c"],
    size: tuple[int, int],
    dtype: np.dtype,
    mirrored: bool = False,
) -> Num[np.ndarray, "t h2 w2 c"]:
    count, height, width, channels = frames.shape
    rows, columns = _Taps.of(height, size[0]), _Taps.of(width, size[1])
    if mirrored:
        columns = _Taps(*(x[::-1] for x in columns))
    columns = columns.of_every(channels)
    out = np.empty((count, size[0], size[1] * channels), dtype)
    # Frame by frame, so that what lies between stays in the cache.
    for frame, resized in zip(frames, out, strict=True):
        lines = frame.reshape(height, width * channels).astype(np.float32)
        if height != size[0]:
            lines = _mixed(lines, rows, 0)
        if width != size[1] or mirrored:
            lines = _mixed(lines, columns, 1)
        if dtype == np.uint8:
            np.rint(lines, out=resized, casting="unsafe")
        else:
            resized[:] = lines
    return out.reshape(count, *size, channels)


def _mixed(lines: Float[np.ndarray, "a b"], taps: _Taps, axis: int) -> Float[np.ndarray, "a2 b2"]:
    low, mixed = lines.take(taps.low, axis), lines.take(taps.high, axis)
    mixed -= low
    mixed *= taps.share[:, None] if axis == 0 else taps.share
    mixed += low
    return mixed
