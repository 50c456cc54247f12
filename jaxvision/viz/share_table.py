"""A table of shares as a picture: who looks at what."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

CELL, MOST_PIXELS = 36, 2048
NONE, FULL = np.array([24, 24, 32]), np.array([255, 210, 60])
LINE, GAP = 18, 6  # of writing; beside it
BACKGROUND, INK = (18, 18, 18), (235, 235, 235)


def draw_shares(
    shares: Float[np.ndarray, "rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    titles: tuple[str, str],
) -> UInt8[np.ndarray, "h w 3"]:
    """A cell for each share, the brighter the nearer it is to the largest of its row; cells shrink
    where there are many.

    rows, columns: their names, left of the table and above it, as many of them as have room.
    titles: what the rows and what the columns are.
    """
    # 1. The cells.
    largest = shares.max(axis=1, keepdims=True, initial=0)
    bright = shares / np.where(largest > 0, largest, 1)
    cell = int(np.clip(MOST_PIXELS // max(*shares.shape, 1), 1, CELL))
    colours = NONE + bright[..., None] * (FULL - NONE)
    table = colours.round().astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)
    # 2. Room for the names, and for a title of each axis above them.
    font = ImageFont.load_default(12)
    length = {name: round(font.getlength(name)) for name in (*rows, *columns, *titles)}
    left = max((length[name] for name in rows), default=0) + 2 * GAP
    top = 3 * LINE + GAP
    wide = max(left + table.shape[1], GAP + max(length[title] for title in titles)) + GAP
    picture = Image.new("RGB", (wide, top + table.shape[0] + GAP), BACKGROUND)
    picture.paste(Image.fromarray(table), (left, top))
    draw = ImageDraw.Draw(picture)
    for number, title in enumerate(titles):
        draw.text((GAP, GAP + number * LINE), title, INK, font)
    # 3. The names, each in the middle of its row or column.
    for number in range(0, len(rows), every(cell, LINE)):
        middle = top + (number + 0.5) * cell
        draw.text((left - GAP, middle), rows[number], INK, font, anchor="rm")
    step = every(cell, max((length[name] for name in columns), default=1) + GAP)
    for number in range(0, len(columns), step):
        middle = left + (number + 0.5) * cell
        draw.text((middle, top - GAP), columns[number], INK, font, anchor="mb")
    return np.asarray(picture)


def every(cell: int, needed: int) -> int:
    """How many cells a name takes that needs some pixels."""
    return -(-needed // cell)
