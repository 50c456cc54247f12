"""Frames one after the other with their times, from a video file or from picture files.

Nothing is held but the frame at hand. What cannot be decoded is skipped and counted, and the other
frames keep their times.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.picture_files import read_with_notes
from jaxvision.data.pixel_format import PixelFormat
from jaxvision.data.sequence_names import gaps, in_order
from jaxvision.data.video import Video
from jaxvision.errors import InputError


class TimedFrame(NamedTuple):
    """time: seconds, or positions in a folder.  image: BGR."""

    time: Fraction
    image: UInt8[np.ndarray, "h w 3"]


def read_bgr_with_notes(path: Path) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[str, ...]]:
    """(8-bit BGR, upright; what was converted). InputError for a file that does not decode."""
    image, notes = read_with_notes(path)
    return np.asarray(image)[..., ::-1], notes


def check_size(image: np.ndarray, expected: np.ndarray, source: str) -> None:
    """InputError unless `image` (of `source`) is as large as the frame before it."""
    if image.shape != expected.shape:
        raise InputError(
            f"{source}: {image.shape[1]}x{image.shape[0]}, but the frames before it have "
            f"{expected.shape[1]}x{expected.shape[0]}"
        )


class PictureStream:
    """Picture files in the order of their names, numbers as numbers; the time of each is its
    position."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = in_order(paths)
        self.skipped: list[str] = []
        self.notes: set[str] = set(gaps(self.paths))

    @property
    def count(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[TimedFrame]:
        """InputError for a picture of another size; one that does not decode is skipped."""
        self.skipped, before = [], None
        for position, path in enumerate(self.paths):
            try:
                image, notes = read_bgr_with_notes(path)
            except InputError as error:
                self.skipped.append(str(error))
                continue
            self.notes |= set(notes)
            if before is not None:
                check_size(image, before, str(path))
            before = image
            yield TimedFrame(Fraction(position), image)


class VideoStream:
    """The upright frames of a video file with the times it gives them (seconds).

    presentation: how the file is to be shown.  count: of frames that it should hold.
    usual_step: the median time between two.  skipped: what of the last pass could not be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.skipped: list[str] = []
        with Video(path, damaged=True) as video:
            self.presentation = video.presentation
            self.rate, self.count = video.rate, video.expected
            self.sound_tracks = video.sound_tracks
            steps = np.diff(video.times)
            self.usual_step = float(np.median(steps)) if len(steps) else 0.0

    def __iter__(self) -> Iterator[TimedFrame]:
        """Frames in order of time; damaged packets and frames are skipped and named. InputError
        where the size changes."""
        self.skipped, bgr, before = [], PixelFormat("bgr24"), None
        with Video(self.path, threads=0, damaged=True) as video:
            for time, frame in video.survivors(self.skipped):
                image = bgr.array(frame)
                if before is not None:
                    check_size(image, before, f"{self.path}: the frame at {float(time):.3f} s")
                before = image
                yield TimedFrame(time, image)
