"""Frames one after the other with their times, from a video file or from picture files.

Nothing is held but the frame at hand. What cannot be decoded is skipped and counted, and the other
frames keep their times.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from jaxvision.data.pixel_format import PixelFormat
from jaxvision.errors import InputError

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm"}


class TimedFrame(NamedTuple):
    """time: seconds, or positions in a folder.  image: BGR."""

    time: Fraction
    image: UInt8[np.ndarray, "h w 3"]


def read_picture(path: Path) -> tuple[UInt8[np.ndarray, "h w 3"], str]:
    """(8-bit BGR, what was converted: "" or a few words).

    16-bit and grey pictures become 8-bit colour, an alpha channel is dropped. InputError for a file
    that does not decode.
    """
    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
            if mode.startswith("I") or mode == "F":
                values = np.asarray(image, np.float64)
                full = 65535.0 if mode.startswith("I") else 1.0
                grey = np.round(np.clip(values / full, 0, 1) * 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=-1), "16-bit grey converted to 8-bit"
            alpha = "A" in image.getbands() or "transparency" in image.info
            colour = np.asarray(image.convert("RGB"))[..., ::-1]
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: not a picture that can be read ({error})") from error
    if alpha:
        return colour, "alpha channel dropped"
    return colour, "grey converted to colour" if mode in ("1", "L") else ""


def check_size(image: np.ndarray, expected: np.ndarray, path: Path) -> None:
    """InputError unless `image` (of `path`) is as large as the frame before it."""
    if image.shape != expected.shape:
        raise InputError(
            f"{path}: {image.shape[1]}x{image.shape[0]}, but the frames before it have "
            f"{expected.shape[1]}x{expected.shape[0]}"
        )


class PictureStream:
    """Picture files in order; the time of each is its position."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = paths
        self.skipped: list[str] = []
        self.notes: set[str] = set()

    @property
    def count(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[TimedFrame]:
        """InputError for a picture of another size; one that does not decode is skipped."""
        self.skipped, before = [], None
        for position, path in enumerate(self.paths):
            try:
                image, note = read_picture(path)
            except InputError as error:
                self.skipped.append(str(error))
                continue
            if note:
                self.notes.add(note)
            if before is not None:
                check_size(image, before, path)
            before = image
            yield TimedFrame(Fraction(position), image)


class VideoStream:
    """The frames of a video file with the times it gives them (seconds)."""

    def __init__(self, path: Path):
        self.path = path
        self.skipped: list[str] = []
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise InputError(f"{path}: holds no video")
                stream = container.streams.video[0]
                self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
                self.count = stream.frames or self._guess_count(container, self.rate)
                self.has_audio = bool(container.streams.audio)
        except (OSError, ValueError, av.FFmpegError) as error:
            raise InputError(f"{path}: not a video that can be read ({error})") from error

    @staticmethod
    def _guess_count(container, rate: Fraction) -> int:
        return round(container.duration / av.time_base * rate) if container.duration else 0

    def __iter__(self) -> Iterator[TimedFrame]:
        """Frames in order of time; damaged packets and frames are skipped and named."""
        self.skipped, last, bgr = [], None, PixelFormat("bgr24")
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for packet in self._packets(container, stream):
                try:
                    frames = packet.decode()
                except (av.FFmpegError, ValueError) as error:
                    self.skipped.append(f"{self.path}: {error}")
                    continue
                for frame in frames:
                    base = frame.time_base or stream.time_base
                    if frame.is_corrupt or frame.pts is None or base is None:
                        self.skipped.append(f"{self.path}: damaged frame after {last} s")
                        continue
                    time = frame.pts * Fraction(base)
                    if last is not None and time <= last:
                        self.skipped.append(f"{self.path}: frame out of order at {float(time)} s")
                        continue
                    last = time
                    yield TimedFrame(time, bgr.array(frame))

    def _packets(self, container, stream) -> Iterator[av.Packet]:
        """Packets until the end, or until the file can be read no further (which is named)."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (OSError, av.FFmpegError) as error:
                self.skipped.append(f"{self.path}: unreadable from here on ({error})")
                return
            if packet is None:
                return
            yield packet
