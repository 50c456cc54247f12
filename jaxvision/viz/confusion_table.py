"""Which classes are taken for which, as a picture."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageDraw

NAMED = 32  # classes that still have room for their names and counts
CELL, MARGIN = 36, 120


def confusion_table(
    counts: Int[np.ndarray, "k k"], names: Sequence[str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Rows: the true class; columns: the answer; the brighter a cell, the larger its share of the
    row. With more than NAMED classes, a few pixels a cell and no text."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    grey = np.round(255 * share).astype(np.uint8)
    if len(counts) > NAMED:
        cell = max(1, 800 // len(counts))
        return np.repeat(grey.repeat(cell, 0).repeat(cell, 1)[..., None], 3, axis=-1)
    side = MARGIN + CELL * len(counts)
    picture = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(picture)
    for row in range(len(counts)):
        place = MARGIN + CELL * row
        draw.text((4, place + CELL // 3), str(names[row])[:18], fill="white")
        # Columns are in the order of the rows: a few letters are enough above them.
        draw.text((place + 2, MARGIN - 14), str(names[row])[:5], fill="white")
        for column, value in enumerate(grey[row]):
            left = MARGIN + CELL * column
            corners = (left, place, left + CELL - 2, place + CELL - 2)
            draw.rectangle(corners, fill=(int(value),) * 3)
            if counts[row, column]:
                text = "black" if value > 127 else "white"
                draw.text((left + 4, place + CELL // 3), str(counts[row, column]), fill=text)
    return np.asarray(picture)
