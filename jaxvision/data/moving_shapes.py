"""Made-up clips with words: a coloured shape moves over a photograph, and a sentence says how.

What it looks like is seen in one frame, where it goes and how fast only in several. Nothing has to
be downloaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from jaxvision.data.pictures import Pictures
from jaxvision.errors import InputError

COLOURS = {
    "red": (225, 25, 30),
    "green": (20, 175, 45),
    "blue": (30, 60, 230),
    "yellow": (250, 225, 20),
    "purple": (160, 40, 190),
    "white": (250, 250, 250),
}
SIZES = {"small": 0.17, "large": 0.28}  # half of what a shape is wide, as a share of the frame
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SPEEDS = {"slowly": 0.14, "quickly": 0.42}  # of the frame's side, during the whole clip
FINENESS = 4  # a shape's edge is drawn so many times as large as it is seen

# Corners of the shapes, from -1 to 1; the circle has none.
_ARM = 0.36
_CROSS = [(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM)]
_CROSS += [(-x, -y) for x, y in _CROSS]
CORNERS: dict[str, list[tuple[float, float]]] = {
    "circle": [],
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
    "cross": _CROSS,
}


class Scene(NamedTuple):
    """What a clip shows, in words."""

    size: str
    colour: str
    shape: str
    direction: str
    speed: str

    @property
    def caption(self) -> str:
        """Of the clip."""
        return f"{self.picture_caption} moves {self.direction} {self.speed}"

    @property
    def picture_caption(self) -> str:
        """Of any of its frames."""
        return f"a {self.size} {self.colour} {self.shape}"


SCENES = tuple(Scene(*words) for words in product(SIZES, COLOURS, CORNERS, DIRECTIONS, SPEEDS))
PICTURE_CAPTIONS = tuple(dict.fromkeys(scene.picture_caption for scene in SCENES))
WORDS = tuple(sorted({word for scene in SCENES for word in scene.caption.split()}))


@dataclass(frozen=True, kw_only=True)
class MovingShapes:
    """Clips by number, each the same every time: uint8 [frames, side, side, 3] and their scenes.

    backgrounds: photographs.  count: of clips.  seed: of all that is drawn.  As many clips in a row
    as there are SCENES show each scene once.
    """

    backgrounds: Pictures
    count: int
    seed: int
    frames: int
    side: int

    def __post_init__(self):
        if self.count < 1 or self.frames < 2:
            raise InputError(
                f"{self.count} clips of {self.frames} frames: expected one clip, two frames or more"
            )

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"clip {index} ({self.scene(index).caption})"

    def scene(self, index: int) -> Scene:
        """What clip `index` shows."""
        turn, place = divmod(index, len(SCENES))
        order = np.random.default_rng((self.seed, turn)).permutation(len(SCENES))
        return SCENES[order[place]]

    def clip(self, index: int, chosen: Sequence[int] | None = None) -> UInt8[np.ndarray, "t h w 3"]:
        """The `chosen` frames of clip `index`; None: all of them."""
        rng = np.random.default_rng((self.seed, index, 1))
        scene = self.scene(index)
        background = self._background(rng)
        # 1. Where it is at half time, so that it never leaves the frame.
        radius = SIZES[scene.size]
        way = np.array(DIRECTIONS[scene.direction]) * SPEEDS[scene.speed]
        room = 0.5 - radius - np.abs(way) / 2
        middle = 0.5 + rng.uniform(-1, 1, 2) * room
        # 2. Its colour, a little different every time.
        colour = np.clip(np.array(COLOURS[scene.colour]) + rng.integers(-20, 21, 3), 0, 255)
        frames = []
        times = np.linspace(-0.5, 0.5, self.frames)
        for time in times if chosen is None else times[np.asarray(chosen)]:
            picture = background.copy()
            mask = self._mask(scene.shape, middle + way * time, radius)
            picture.paste(tuple(int(c) for c in colour), mask=mask)
            frames.append(np.asarray(picture))
        return np.stack(frames)

    def _background(self, rng: np.random.Generator) -> Image.Image:
        """A random cut of a random photograph, darkened."""
        pyramid = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        cut, place = rng.uniform(0.3, 1.0), rng.uniform(size=2)
        # The coarsest level that still has the pixels.
        fine = [level for level in pyramid if cut * min(level.size) >= self.side]
        picture = fine[-1] if fine else pyramid[0]
        width = cut * min(picture.size)
        x, y = place * (np.array(picture.size) - width)
        size = (self.side, self.side)
        seen = picture.resize(size, Image.Resampling.BOX, box=(x, y, x + width, y + width))
        return Image.fromarray((np.asarray(seen) * rng.uniform(0.3, 0.7)).astype(np.uint8))

    def _mask(self, shape: str, centre: Float[np.ndarray, " 2"], radius: float) -> Image.Image:
        """How much of each pixel the shape covers.  centre, radius: in units of the side."""
        fine = FINENESS * self.side
        mask = Image.new("L", (fine, fine))
        draw = ImageDraw.Draw(mask)
        if CORNERS[shape]:
            corners = fine * (centre + radius * np.array(CORNERS[shape]))
            draw.polygon([(float(x), float(y)) for x, y in corners], fill=255)
        else:
            box = fine * np.concatenate([centre - radius, centre + radius])
            draw.ellipse([float(v) for v in box], fill=255)
        return mask.resize((self.side, self.side), Image.Resampling.BOX)


@dataclass(frozen=True)
class MadeClip:
    """One of the clips, in the place of a video's path."""

    shapes: MovingShapes
    number: int

    def read(self, choose: Callable[[int], np.ndarray]) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames.  choose(how many there are): which are wanted."""
        return self.shapes.clip(self.number, choose(self.shapes.frames).tolist())

    def __str__(self) -> str:
        return self.shapes.name(self.number)


@dataclass(frozen=True)
class LabelledShapes:
    """Clips as records: the clip, and the number of its picture caption among PICTURE_CAPTIONS."""

    shapes: MovingShapes

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> tuple[MadeClip, int]:
        caption = self.shapes.scene(index).picture_caption
        return MadeClip(self.shapes, index), PICTURE_CAPTIONS.index(caption)

    def name(self, index: int) -> str:
        return self.shapes.name(index)
