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


# Lines of a frame that are made at a time, so that what lies between stays in a core's cache.
_LINES = 56


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
    parts = [slice(start, start + _LINES) for start in range(0, size[0], _LINES)]
    down = _Mixing(rows, width * channels)
    heights = {len(rows.low[part]) for part in parts}
    across = {height: _Mixing(columns.of_every(channels), height) for height in heights}
    out = np.empty((count, size[0], size[1] * channels), dtype)
    lines = np.empty((height, width * channels), np.float32)
    for frame, resized in zip(frames, out, strict=True):
        lines.reshape(frame.shape)[:] = frame
        for part in parts:
            strip = down(lines, part) if height != size[0] else lines[part]
            # Columns as rows: to gather whole rows is the quicker by far.
            strip = np.ascontiguousarray(strip.T)
            if width != size[1] or mirrored:
                strip = across[strip.shape[1]](strip, slice(None))
            if dtype == np.uint8:
                np.rint(strip, out=strip)
            np.copyto(resized[part], strip.T, casting="unsafe")
    return out.reshape(count, *size, channels)


class _Mixing:
    """New rows of `width` numbers, each of two old ones; in memory that the next call reuses."""

    def __init__(self, taps: _Taps, width: int):
        self._low, self._high = taps.low, taps.high
        self._share = np.repeat(taps.share[:, None], width, 1)
        self._memory = np.empty((2, len(taps.low), width), np.float32)

    def __call__(
        self, rows: Float[np.ndarray, "old width"], part: slice
    ) -> Float[np.ndarray, "new width"]:
        """The new rows of `part`."""
        share = self._share[part]
        lower, mixed = self._memory[:, : len(share)]
        rows.take(self._low[part], 0, out=lower, mode="clip")  # other modes copy `out`
        rows.take(self._high[part], 0, out=mixed, mode="clip")
        mixed -= lower
        mixed *= share
        mixed += lower
        return mixed
