"""Made-up films whose labels can only be told from other seconds: one figure a second, of one of
two colours, drawn anew each second; what is asked of a second is the colour of the one before.

Nothing has to be downloaded.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.actions.json_files import Image, People

# What a figure is now, and what the figure of the second before was.
ACTIONS = ("red", "blue", "after red", "after blue")
ASKED = ("after red", "after blue")  # what no picture of the second itself tells
COLOURS = np.array([[220, 60, 60], [60, 60, 220]], np.uint8)


class FilmSecond(NamedTuple):
    """One second. boxes: x1, y1, x2, y2 of the figure's outermost pixels.  actions: 1 where the
    figure does one of ACTIONS; a film's first second follows no other."""

    film: str
    second: int
    clip: UInt8[np.ndarray, "t h w 3"]
    boxes: Float[np.ndarray, "1 4"]
    actions: UInt8[np.ndarray, "1 4"]

    @property
    def image(self) -> Image:
        """Its film, second and size."""
        return Image(self.film, self.second, self.clip.shape[2], self.clip.shape[1])

    @property
    def people(self) -> People:
        """The figure, as a person."""
        return People(self.boxes, self.actions, np.ones(len(self.boxes), np.float32))

    def frames(self, count: int, stride: int) -> UInt8[np.ndarray, "t h w 3"]:
        """All of its frames: they were made for one clip."""
        return self.clip


@dataclass(frozen=True, kw_only=True)
class FilmFigures:
    """Seconds by number, film by film: the same number and seed give the same second.

    films: how many.  seconds: of each.  frames, side: of a second's clip (pixels).
    """

    films: int
    seconds: int
    seed: int
    frames: int = 4
    side: int = 32

    def __len__(self) -> int:
        return self.films * self.seconds

    def name(self, index: int) -> str:
        return "film {} at {}".format(*divmod(index, self.seconds))

    def moments(self) -> list[tuple[str, int]]:
        """(film, second) of every record."""
        return [(str(film), second) for film in range(self.films) for second in range(self.seconds)]

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every record's frames."""
        return [(self.side, self.side)] * len(self)

    def colours(self, film: int) -> np.ndarray:
        """The colour of every second, 0 or 1."""
        return np.random.default_rng((self.seed, 1, film)).integers(2, size=self.seconds)

    def __getitem__(self, index: int) -> FilmSecond:
        film, second = divmod(index, self.seconds)
        rng = np.random.default_rng((self.seed, 2, index))
        colours = self.colours(film)
        # 1. A box that moves slowly over noise.
        width, height = rng.integers(self.side // 4, self.side // 2, size=2)
        first = rng.integers(1, self.side - 1 - np.array([width, height]))
        frames = rng.integers(90, 140, (self.frames, self.side, self.side, 3)).astype(np.uint8)
        for frame in frames:
            x, y = first
            frame[y : y + height, x : x + width] = COLOURS[colours[second]]
        # 2. What it is, and what it follows.
        actions = np.zeros((1, len(ACTIONS)), np.uint8)
        actions[0, colours[second]] = 1
        if second:
            actions[0, 2 + colours[second - 1]] = 1
        last = first + np.array([width - 1, height - 1])
        box = np.array([[*first, *last]], np.float32)
        return FilmSecond(str(film), second, frames, box, actions)
