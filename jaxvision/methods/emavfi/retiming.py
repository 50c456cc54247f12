"""A sequence at new times: which frames it has, and how they are made, never across a scene cut."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.frame_stream import PictureStream, TimedFrame, VideoStream
from jaxvision.errors import InputError
from jaxvision.methods.emavfi.inference import Interpolator

Frames = list[tuple[Fraction, UInt8[np.ndarray, "h w 3"]]]
# A wanted time closer to a given frame than this share of the wanted period is that frame.
SAME = Fraction(1, 1000)
# A step in time of more than this many usual ones is a gap.
GAP = 4
THUMBNAIL = 32
BINS = 8


@dataclass(frozen=True)
class Retiming:
    """Either `multiple` frames for every given one, spread evenly over each interval (so irregular
    times stay as they are), or frames at `rate` per unit of time from the first frame on."""

    multiple: int = 2
    rate: Fraction | None = None

    def __post_init__(self):
        if self.rate is None and self.multiple < 2:
            raise InputError(f"task.predict.multiple={self.multiple}: expected 2 or more")
        if self.rate is not None and self.rate <= 0:
            raise InputError(f"task.predict.rate={float(self.rate)}: expected more than 0")

    def between(
        self, start: Fraction, first: Fraction, last: Fraction
    ) -> Iterator[tuple[Fraction, Fraction]]:
        """(time, t) of every frame from `first` on and before `last`; t in [0, 1), 0 is the given
        frame itself. start: time of the sequence's first frame."""
        length = last - first
        if self.rate is None:
            for part in range(self.multiple):
                t = Fraction(part, self.multiple)
                yield first + t * length, t
            return
        near = SAME / self.rate
        number = -((start - first + near) * self.rate // 1)  # the first at or after `first`
        while (time := start + number / self.rate) < last - near:
            yield time, Fraction(0) if time < first + near else (time - first) / length
            number += 1

    def holds_last(self, start: Fraction, last: Fraction) -> bool:
        """Whether the sequence's last frame is one of the wanted ones."""
        if self.rate is None:
            return True
        place = (last - start) * self.rate
        return abs(place - round(place)) < SAME


def check_time(t: float) -> float:
    """t itself; InputError unless it lies strictly between the frames."""
    if not 0 < t < 1:
        raise InputError(f"task.predict.times: {t} is not between 0 and 1 (both excluded)")
    return t


@dataclass(frozen=True)
class FrameSignature:
    """What two frames are compared by to find a scene cut.

    thumbnail: the frame at about 32 pixels a side, in [0, 1].  colours: share of the sampled pixels
    in each of 8 x 8 x 8 cells of colour.
    """

    thumbnail: np.ndarray
    colours: np.ndarray

    @classmethod
    def of(cls, image: UInt8[np.ndarray, "h w 3"]) -> "FrameSignature":
        height, width = image.shape[:2]
        rows = np.linspace(0, height - 1, min(4 * THUMBNAIL, height)).astype(int)
        columns = np.linspace(0, width - 1, min(4 * THUMBNAIL, width)).astype(int)
        small = image[np.ix_(rows, columns)]
        cells = (small // (256 // BINS)).astype(int)
        codes = (cells[..., 0] * BINS + cells[..., 1]) * BINS + cells[..., 2]
        counts = np.bincount(codes.ravel(), minlength=BINS**3)
        step = max(1, min(small.shape[:2]) // THUMBNAIL)
        return cls(small[::step, ::step].astype(np.float32) / 255, counts / counts.sum())


def is_cut(before: FrameSignature, after: FrameSignature, threshold: float) -> bool:
    """Whether a new scene begins: more than `threshold` of the colours changed, and the pictures
    differ place by place too (a tenth of the range on average). 0 finds no cuts."""
    if not threshold:
        return False
    changed = np.abs(before.colours - after.colours).sum() / 2
    difference = np.abs(before.thumbnail - after.thumbnail).mean()
    return bool(changed > threshold and difference > 0.1)


@dataclass
class Counts:
    """What happened on the way, an earlier run's part included.

    frames: given.  made: new ones.  cuts: times where scenes begin.  gaps: steps in time of more
    than four usual ones, {"from": seconds, "seconds": how long}.
    """

    frames: int = 0
    made: int = 0
    cuts: list[float] = field(default_factory=list)
    gaps: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Interval:
    """Two neighbouring given frames.

    number: of the interval, from 0.  start: time of the sequence's first frame.  last: None in the
    interval that ends the sequence.
    """

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
    """Turns intervals into output frames (BGR, at absolute times).

    cut: see `is_cut`.  longest_gap: no frames are made in intervals longer than this (seconds); 0
    fills them all.  usual_step: between given frames (seconds), to tell gaps by; 0 tells of none.
    """

    usual_step: float = 0.0

    def __init__(
        self,
        interpolator: Interpolator,
        retiming: Retiming,
        cut: float,
        longest_gap: float = 0.0,
    ):
        self._interpolator, self._retiming, self._cut = interpolator, retiming, cut
        self._longest_gap = longest_gap
        self.counts = Counts()
        self._signature: FrameSignature | None = None

    def skip(self, interval: Interval) -> None:
        """Note an interval whose frames are there already, as if they had been made now."""
        self.counts.frames += 1
        if interval.last is not None and not self._stands_still(interval, interval.last):
            self.counts.made += sum(1 for _, t in self._wanted(interval, interval.last) if t)

    def _wanted(self, interval: Interval, last: TimedFrame) -> list[tuple[Fraction, Fraction]]:
        return list(self._retiming.between(interval.start, interval.first.time, last.time))

    def _stands_still(self, interval: Interval, last: TimedFrame) -> bool:
        """Whether nothing lies between two frames: another scene, or a gap that is to stay."""
        first = interval.first
        before = self._signature or FrameSignature.of(first.image)
        self._signature = FrameSignature.of(last.image)
        length = float(last.time - first.time)
        if self.usual_step and length > GAP * self.usual_step:
            self.counts.gaps.append({"from": float(first.time), "seconds": length})
        if is_cut(before, self._signature, self._cut):
            self.counts.cuts.append(float(last.time))
            return True
        return bool(self._longest_gap) and length > self._longest_gap

    def frames(self, interval: Interval) -> Frames:
        """From the interval's first frame on, without its last one."""
        self.counts.frames += 1
        first, last = interval.first, interval.last
        if last is None:
            held = self._retiming.holds_last(interval.start, first.time)
            return [(first.time, first.image)] if held else []
        wanted = self._wanted(interval, last)
        times = [t for _, t in wanted if t]
        if self._stands_still(interval, last):
            # The nearer frame stays.
            made = iter([first.image if t < Fraction(1, 2) else last.image for t in times])
        else:
            self.counts.made += len(times)
            made = iter(self._interpolator.between(first.image, last.image, times))
        return [(time, next(made) if t else first.image) for time, t in wanted]
