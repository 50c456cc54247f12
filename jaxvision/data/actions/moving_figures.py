"""Made-up clips of people: drawn figures with exact boxes, and what they do. Nothing has to be
downloaded.

Of ACTIONS, "walk" needs motion (standing figures hold their legs apart too), "together" needs other
people, "wave" and "crouch" show in one picture. Of MOTIONS only "together" does: those who reach
hold their arms as those who wave do on some frame.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

ACTIONS = ("stand", "walk", "wave", "crouch", "together")
MOTIONS = ("stand", "walk", "reach", "wave", "together")
REACH = 0.9  # of a figure's height: nearer than this, people are together
SMALL, TALL = (0.35, 0.6), (0.45, 0.7)  # least and most height, of the frame's
STEP = 0.04  # of a figure's height: what a walking one moves in a frame
PACE = 0.8  # radians that its legs swing in a frame
# Where motion counts, it is plain from one frame to the next.
LONG_STEP, FAST_PACE, SWING = 0.14, 1.3, 1.9
ARM = 0.42  # of a figure's height
THICKNESS = 0.09  # of limbs, of the height


class FigureClip(NamedTuple):
    """boxes: of the middle frame, x1, y1, x2, y2 of the figures' outermost pixels (what others
    hide of them included, what lies beyond the frame not).  actions: 1 where one does one of the
    five."""

    frames: UInt8[np.ndarray, "t h w 3"]
    boxes: Float[np.ndarray, "people 4"]
    actions: UInt8[np.ndarray, "people 5"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. x, ground: of its feet on the middle frame, in pixels.  speed: pixels a frame,
    0 of one that stands.  phase, pace: of its legs, radians and radians a frame.  arms: where both
    are in their swing above its head, radians; None where they hang or one `waves`.  swing: radians
    a frame, 0 of arms that are held."""

    x: float
    ground: float
    height: float
    speed: float
    phase: float
    waves: bool
    crouches: bool
    colour: tuple[int, int, int]
    pace: float = PACE
    arms: float | None = None
    swing: float = 0.0

    def mask(self, time: int, size: tuple[int, int]) -> Image.Image:
        """Its pixels, `time` frames after the middle one. size: width and height."""
        picture = Image.new("1", size)
        draw = ImageDraw.Draw(picture)
        tall = self.height * (0.6 if self.crouches else 1.0)
        x = self.x + self.speed * time
        phase = self.phase + (self.pace * time if self.speed else 0.0)
        hip, neck = self.ground - 0.45 * tall, self.ground - 0.78 * tall
        swing = 0.2 * self.height * np.sin(phase)
        width = max(2, round(THICKNESS * self.height))
        for side in (-1, 1):
            draw.line([(x, hip), (x + side * swing, self.ground)], fill=1, width=width)
            hand = (x - side * swing, self.ground - 0.4 * tall)
            if self.waves and side == 1:
                hand = (x + 0.25 * self.height, self.ground - 1.05 * tall)
            if self.arms is not None:
                angle = 0.9 * np.sin(self.arms + self.swing * time) + 0.5 * side
                arm = ARM * self.height
                hand = (x + arm * np.sin(angle), neck - arm * np.cos(angle))
            draw.line([(x, neck), hand], fill=1, width=width)
        draw.line([(x, hip), (x, neck)], fill=1, width=2 * width)
        head, middle = 0.1 * self.height, neck - 0.12 * self.height
        draw.ellipse([x - head, middle - head, x + head, middle + head], fill=1)
        return picture


@dataclass(frozen=True, kw_only=True)
class MovingFigures:
    """Clips by number: the same number and seed give the same clip. most: people of a clip.
    motions: their actions are MOTIONS, not ACTIONS."""

    count: int
    seed: int
    frames: int = 8
    height: int = 96
    width: int = 128
    most: int = 3
    motions: bool = False

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"figures {self.seed}:{index}"

    def __getitem__(self, index: int) -> FigureClip:
        rng = np.random.default_rng((self.seed, index))
        figures = self.figures(rng)
        # 1. A background of coarse noise, and figures one over the other.
        size = (self.width, self.height)
        coarse = rng.integers(40, 120, (self.height // 16 + 1, self.width // 16 + 1, 3), np.uint8)
        background = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)
        middle = self.frames // 2
        frames, boxes = [], []
        for time in range(self.frames):
            picture = background.copy()
            for figure in figures:
                mask = figure.mask(time - middle, size)
                picture.paste(figure.colour, mask=mask)
                if time == middle:
                    boxes.append(mask.getbbox())
            frames.append(np.asarray(picture))
        noise = rng.normal(0, 6, (self.frames, self.height, self.width, 3))
        noisy = np.clip(np.stack(frames) + noise, 0, 255).astype(np.uint8)
        # 2. Boxes that are seen on the middle frame, and what their figures do.
        seen = [row for row, box in enumerate(boxes) if box is not None]
        found = np.array([boxes[row] for row in seen], np.float32).reshape(-1, 4)
        actions = (_motions if self.motions else _actions)(figures)[seen]
        return FigureClip(noisy, found - np.array([0, 0, 1, 1], np.float32), actions)

    def figures(self, rng: np.random.Generator) -> list[Figure]:
        """Figures within the middle frame, the furthest first."""
        found = []
        for _ in range(int(rng.integers(1, self.most + 1))):
            height = self.height * rng.uniform(*(TALL if self.motions else SMALL))
            walks = rng.random() < 0.5
            step = LONG_STEP if self.motions else STEP
            figure = Figure(
                x=rng.uniform(0.1, 0.9) * self.width,
                ground=rng.uniform(0.75, 0.97) * self.height,
                height=height,
                speed=float(walks * rng.choice([-1, 1]) * step * height),
                phase=rng.uniform(0, 2 * np.pi),
                waves=bool(rng.random() < 0.4),
                crouches=bool(rng.random() < 0.4),
                colour=tuple(int(v) for v in rng.integers(130, 256, 3)),  # type: ignore[arg-type]
            )
            found.append(_with_motion(figure, rng) if self.motions else figure)
        return sorted(found, key=lambda figure: figure.ground)


def _with_motion(figure: Figure, rng: np.random.Generator) -> Figure:
    """The figure upright, with arms that hang, are held up or swing: a third each."""
    arms = ("hang", "reach", "wave")[rng.integers(3)]
    return replace(
        figure,
        waves=False,
        crouches=False,
        pace=FAST_PACE,
        arms=None if arms == "hang" else rng.uniform(0, 2 * np.pi),
        swing=SWING if arms == "wave" else 0.0,
    )


def _actions(figures: list[Figure]) -> UInt8[np.ndarray, "people 5"]:
    """What every figure does, in the order of ACTIONS."""
    rows = []
    for figure, near in zip(figures, _together(figures), strict=True):
        walks = figure.speed != 0
        rows.append([not walks, walks, figure.waves, figure.crouches, near])
    return np.array(rows, np.uint8)


def _motions(figures: list[Figure]) -> UInt8[np.ndarray, "people 5"]:
    """What every figure does, in the order of MOTIONS."""
    rows = []
    for figure, near in zip(figures, _together(figures), strict=True):
        walks, up, swings = figure.speed != 0, figure.arms is not None, figure.swing != 0
        rows.append([not walks, walks, up and not swings, up and swings, near])
    return np.array(rows, np.uint8)


def _together(figures: list[Figure]) -> list[bool]:
    """Whether another figure is near each."""
    return [
        any(
            abs(other.x - figure.x) < REACH * figure.height
            for other in figures
            if other is not figure
        )
        for figure in figures
    ]
