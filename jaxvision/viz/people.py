"""People and their actions drawn on frames: boxes, names and scores."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

LINE_HEIGHT = 11
BACK = (0, 0, 0)
TRUTH = (255, 255, 255)
# Told apart on skin, asphalt and grass alike; people beyond the last begin again.
COLOURS = ((255, 196, 0), (0, 200, 255), (255, 90, 200), (120, 255, 90), (255, 110, 60))


class SeenPerson(NamedTuple):
    """box: x1, y1, x2, y2 in pixels of the frame.  lines: what is written at it, e.g. "walk 0.92".
    truth: drawn in white."""

    box: Float[np.ndarray, " 4"]
    lines: Sequence[str]
    truth: bool = False


def best_actions(
    scores: Float[np.ndarray, " classes"],
    names: Sequence[str],
    threshold: float = 0.5,
    most: int = 3,
) -> list[str]:
    """ "NAME SCORE" of the best actions with a score of at least `threshold`, the best first."""
    order = np.argsort(-scores, kind="stable")[:most]
    return [f"{names[n]} {scores[n]:.2f}" for n in order if scores[n] >= threshold]


def draw_people(
    frame: UInt8[np.ndarray, "h w 3"], people: Sequence[SeenPerson]
) -> UInt8[np.ndarray, "h w 3"]:
    """The frame with every person's box, and lines inside its upper edge; all lie over all boxes.
    Boxes reach as far as the frame does."""
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    height, width = frame.shape[:2]
    corners, colours = [], []
    for number, person in enumerate(people):
        limits = np.array([width - 1, height - 1] * 2)
        x1, y1, x2, y2 = np.clip(np.rint(np.nan_to_num(person.box)), 0, limits).astype(int).tolist()
        x2, y2 = max(x1, x2), max(y1, y2)
        corners.append((x1, y1))
        colours.append(TRUTH if person.truth else COLOURS[number % len(COLOURS)])
        draw.rectangle([x1, y1, x2, y2], outline=colours[-1], width=2)
    for (x, y), colour, person in zip(corners, colours, people, strict=True):
        for row, line in enumerate(person.lines):
            place = (x + 3, y + 2 + row * LINE_HEIGHT)
            draw.rectangle(draw.textbbox(place, line), fill=BACK)
            draw.text(place, line, fill=colour)
    return np.asarray(picture)


def draw_clip(
    frames: UInt8[np.ndarray, "t h w 3"], people: Sequence[Sequence[SeenPerson]]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Every frame with its own people (`files.write_mp4` makes a film of it)."""
    pairs = zip(frames, people, strict=True)
    return np.stack([draw_people(frame, seen) for frame, seen in pairs])
