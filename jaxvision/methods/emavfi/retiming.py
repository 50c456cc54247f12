"""Which frames a retimed sequence has: copies of given ones, and new ones in between."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from jaxvision.errors import InputError

# A wanted time closer to a given frame than this share of the wanted period is that frame.
SAME = Fraction(1, 1000)
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
class Look:
    """What a scene cut is told by: a thumbnail, and how colours are distributed."""

    thumbnail: np.ndarray
    colours: np.ndarray

    @classmethod
    def of(cls, image: UInt8[np.ndarray, "h w 3"]) -> "Look":
        height, width = image.shape[:2]
        rows = np.linspace(0, height - 1, min(4 * THUMBNAIL, height)).astype(int)
        columns = np.linspace(0, width - 1, min(4 * THUMBNAIL, width)).astype(int)
        small = image[np.ix_(rows, columns)]
        cells = (small // (256 // BINS)).astype(int)
        codes = (cells[..., 0] * BINS + cells[..., 1]) * BINS + cells[..., 2]
        counts = np.bincount(codes.ravel(), minlength=BINS**3)
        step = max(1, min(small.shape[:2]) // THUMBNAIL)
        return cls(small[::step, ::step].astype(np.float32) / 255, counts / counts.sum())


def is_cut(before: Look, after: Look, threshold: float) -> bool:
    """Whether a new scene begins: more than `threshold` of the colours changed, and the pictures
    differ place by place too (a tenth of the range on average). 0 finds no cuts."""
    if not threshold:
        return False
    changed = np.abs(before.colours - after.colours).sum() / 2
    difference = np.abs(before.thumbnail - after.thumbnail).mean()
    return bool(changed > threshold and difference > 0.1)
