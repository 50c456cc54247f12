"""Decoded frames as arrays, or at another size and pixel format, through FFmpeg's scaler."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8


class PixelFormat:
    """Converts frames to one pixel format ("rgb24", "bgr24", "yuv420p"); one for each file.

    It keeps what a conversion needs set up and works on one thread: PyAV's own `to_ndarray` sets up
    anew, and starts a thread for every core, at each frame, where data workers run side by side.
    """

    def __init__(self, name: str):
        self._name = name
        self._scaler = VideoReformatter()

    def frame(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> av.VideoFrame:
        """The frame in this format; at `size` (height, width), bicubic, where one is given."""
        height, width = size or (None, None)
        return self._scaler.reformat(
            frame, width, height, self._name, interpolation="BICUBIC" if size else None, threads=1
        )

    def array(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        """The pixels of a frame, in a format of three interleaved channels."""
        return self.frame(frame).to_ndarray()
