"""A stand-in for the network, and files to feed it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


class Blend:
    """Answers with the blend weighted by time, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def between(self, first, last, times):
        self.asked += [(int(first[0, 0, 0]), int(last[0, 0, 0]), t) for t in times]
        return [np.round((1 - float(t)) * first + float(t) * last).astype(np.uint8) for t in times]


def flat(value, size=(24, 32)):
    """A frame of one grey."""
    return np.full((*size, 3), value, np.uint8)


def write_frames(folder: Path, values, size=(24, 32)):
    folder.mkdir(parents=True, exist_ok=True)
    for number, value in enumerate(values):
        Image.fromarray(flat(value, size)).save(folder / f"{number:03d}.png")
    return sorted(folder.glob("*.png"))


def decoded(path: Path):
    """[(seconds, mean grey)] of every frame of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            (frame.pts * Fraction(stream.time_base), float(frame.to_ndarray(format="rgb24").mean()))
            for frame in container.decode(video=0)
        ]
