"""A stream of frames at new times: made pair by pair, never across a scene cut."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.frame_stream import PictureStream, TimedFrame, VideoStream
from jaxvision.errors import InputError
from jaxvision.methods.emavfi.interpolator import Interpolator
from jaxvision.methods.emavfi.retiming import Look, Retiming, is_cut

Frames = list[tuple[Fraction, UInt8[np.ndarray, "h w 3"]]]


@dataclass
class Counts:
    """What happened on the way. frames: given.  made: new ones.  cuts: times where scenes begin."""

    frames: int = 0
    made: int = 0
    cuts: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Interval:
    """Two neighbouring given frames; `number` counts intervals from 0. last None: the end."""

    number: int
    start: Fraction
    first: TimedFrame
    last: TimedFrame | None


def intervals(stream: PictureStream | VideoStream, source: str) -> Iterator[Interval]:
    """Neighbours in a stream, then its last frame alone. Only two frames are held.

    InputError for a stream of fewer than two frames.
    """
    before: TimedFrame | None = None
    start, number = Fraction(0), 0
    for frame in stream:
        if before is None:
            start = frame.time
        else:
            yield Interval(number, start, before, frame)
            number += 1
        before = frame
    if before is None or number == 0:
        skipped = f" ({len(stream.skipped)} unreadable)" if stream.skipped else ""
        raise InputError(
            f"{source}: {'no frame' if before is None else 'one frame'}{skipped}; "
            "interpolation needs two or more"
        )
    yield Interval(number, start, before, None)


class Retimer:
    """Turns intervals into output frames (BGR, at absolute times)."""

    def __init__(self, interpolator: Interpolator, retiming: Retiming, cut: float):
        self._interpolator, self._retiming, self._cut = interpolator, retiming, cut
        self.counts = Counts()
        self._look: Look | None = None

    def skip(self, interval: Interval) -> None:
        """Note an interval whose frames are there already."""
        self.counts.frames += 1
        self._look = Look.of((interval.last or interval.first).image)

    def frames(self, interval: Interval) -> Frames:
        """From the interval's first frame on, without its last one."""
        self.counts.frames += 1
        first, last = interval.first, interval.last
        if last is None:
            held = self._retiming.holds_last(interval.start, first.time)
            return [(first.time, first.image)] if held else []
        before = self._look or Look.of(first.image)
        self._look = Look.of(last.image)
        wanted = list(self._retiming.between(interval.start, first.time, last.time))
        times = [t for _, t in wanted if t]
        if is_cut(before, self._look, self._cut):
            # The nearer frame stands still: nothing lies between two scenes.
            self.counts.cuts.append(float(last.time))
            made = iter([first.image if t < Fraction(1, 2) else last.image for t in times])
        else:
            self.counts.made += len(times)
            made = iter(self._interpolator.between(first.image, last.image, times))
        return [(time, next(made) if t else first.image) for time, t in wanted]
