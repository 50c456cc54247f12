"""Decoded frames upright, as arrays or at another size and format, through FFmpeg's scaler."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from jaxvision.data.orientation import Orientation


class PixelFormat:
    """Converts frames to one pixel format ("rgb24", "bgr24", "yuv420p"); one for each file.

    Frames are turned as their display matrix says; matrix and range of their colours are those of
    their tags (BT.601 and limited range where there is none). It keeps what a conversion needs set
    up and works on one thread: PyAV's own `to_ndarray` sets up anew, and starts a thread for every
    core, at each frame, where data workers run side by side.
    """

    def __init__(self, name: str):
        self._name = name
        self._scaler = VideoReformatter()

    def frame(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> av.VideoFrame:
        """The frame in this format; at `size` (height, width of the upright picture), bicubic,
        where one is given."""
        orientation = Orientation.of(frame)
        converted = self._convert(frame, orientation.size(*size) if size else None)
        if orientation == Orientation():
            return converted
        return _upright(converted, orientation)

    def array(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        """The upright pixels of a frame, in a format of three interleaved channels."""
        image = self._convert(frame, None).to_ndarray()
        return np.ascontiguousarray(Orientation.of(frame).upright(image))

    def _convert(self, frame: av.VideoFrame, size: tuple[int, int] | None) -> av.VideoFrame:
        height, width = size or (None, None)
        return self._scaler.reformat(
            frame, width, height, self._name, interpolation="BICUBIC" if size else None, threads=1
        )


def _upright(frame: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    """A turned copy, plane by plane, with the frame's tags."""
    height, width = orientation.size(frame.height, frame.width)
    turned = av.VideoFrame(width, height, frame.format.name)
    depth = 3 if frame.format.name in ("rgb24", "bgr24") else 1
    for source, target in zip(frame.planes, turned.planes, strict=True):
        stored = np.frombuffer(bytes(source), np.uint8).reshape(source.height, source.line_size)
        pixels = stored[:, : source.width * depth].reshape(source.height, source.width, depth)
        rows = np.zeros((target.height, target.line_size), np.uint8)
        upright = orientation.upright(pixels)
        rows[:, : target.width * depth] = upright.reshape(target.height, -1)
        target.update(rows.tobytes())
    turned.colorspace, turned.color_range = frame.colorspace, frame.color_range
    turned.color_primaries, turned.color_trc = frame.color_primaries, frame.color_trc
    turned.pts, turned.time_base = frame.pts, frame.time_base
    return turned
