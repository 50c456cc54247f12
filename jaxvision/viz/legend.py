"""What the colours of a picture are, and which of two pictures is which."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

ROW, SWATCH, MARGIN = 20, 12, 6
BACKGROUND, INK = (18, 18, 18), (235, 235, 235)
Picture = UInt8[np.ndarray, "height width 3"]


def with_legend(
    picture: Picture, names: Sequence[str], colours: UInt8[np.ndarray, "k 3"]
) -> Picture:
    """The picture over a table of colours and their names, in as many rows as it takes."""
    font = ImageFont.load_default(13)
    width = picture.shape[1]
    # 1. Where each entry goes.
    places, left, row = [], MARGIN, 0
    for name in names:
        needed = SWATCH + 2 * MARGIN + round(font.getlength(name)) + MARGIN
        if left > MARGIN and left + needed > width:
            left, row = MARGIN, row + 1
        places.append((left, row))
        left += needed
    # 2. The table.
    table = Image.new("RGB", (width, (row + 1) * ROW + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(table)
    for name, colour, (left, row) in zip(names, colours.tolist(), places, strict=True):
        top = row * ROW + MARGIN
        draw.rectangle((left, top, left + SWATCH, top + SWATCH), tuple(colour))
        draw.text((left + SWATCH + MARGIN, top - 2), name, INK, font)
    return np.concatenate([picture, np.asarray(table)])


def side_by_side(titled: Sequence[tuple[str, Picture]]) -> Picture:
    """Pictures of one height in a row, each under its title."""
    font = ImageFont.load_default(13)
    columns = []
    for title, picture in titled:
        heading = Image.new("RGB", (picture.shape[1], ROW + MARGIN), BACKGROUND)
        ImageDraw.Draw(heading).text((MARGIN, MARGIN - 1), title, INK, font)
        columns.append(np.concatenate([np.asarray(heading), picture]))
    return np.concatenate(columns, axis=1)
