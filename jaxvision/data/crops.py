"""Where frames are cut: sizes and boxes, in whole pixels."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Num


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, frames: Num[np.ndarray, "t h w c"]) -> Num[np.ndarray, "t h2 w2 c"]:
        """The frames inside the box (a view)."""
        bottom, right = self.top + self.height, self.left + self.width
        return frames[:, self.top : bottom, self.left : right]


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) scaled so that the shorter is `short_side`, the other truncated."""
    if height < width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


def centre_box(height: int, width: int, size: tuple[int, int]) -> Box:
    """A box of `size` in the middle; halves round to even."""
    return Box(round((height - size[0]) / 2), round((width - size[1]) / 2), *size)


def long_side_boxes(height: int, width: int, crops: int) -> list[Box]:
    """`crops` squares of the shorter side along the longer one, ends included; one is centred."""
    short, spare = min(height, width), abs(height - width)
    if crops == 1:
        offsets = [spare // 2]
    else:
        offsets = [int(crop * (spare / (crops - 1))) for crop in range(crops)]
    if height >= width:
        return [Box(offset, 0, short, short) for offset in offsets]
    return [Box(0, offset, short, short) for offset in offsets]


def resized_crop_box(
    rng: np.random.Generator,
    height: int,
    width: int,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """A random box of a share of the area and an aspect (width/height, log-uniform); after ten
    tries that do not fit, the largest central one within the aspects (Inception's crop)."""
    for _ in range(10):
        target = height * width * rng.uniform(*area)
        ratio = math.exp(rng.uniform(*np.log(aspect)))
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return Box(int(top), int(left), h, w)
    if width / height < aspect[0]:
        w, h = width, min(round(width / aspect[0]), height)
    elif width / height > aspect[1]:
        w, h = min(round(height * aspect[1]), width), height
    else:
        w, h = width, height
    return Box((height - h) // 2, (width - w) // 2, h, w)


def multi_scale_sizes(
    height: int,
    width: int,
    target: int,
    scales: tuple[float, ...] = (1, 0.875, 0.75, 0.66),
    max_distort: int = 1,
) -> list[tuple[int, int]]:
    """(width, height) of the crops of multi-scale cropping: sides are `scales` of the shorter one,
    at most `max_distort` steps apart; a side within 2 pixels of `target` becomes it (TSN)."""
    sides = [int(min(height, width) * scale) for scale in scales]
    sides = [target if abs(side - target) < 3 else side for side in sides]
    return [
        (w, h)
        for i, h in enumerate(sides)
        for j, w in enumerate(sides)
        if abs(i - j) <= max_distort
    ]


# In quarters of the space that the crop leaves, (x, y).
_PLACES = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


def fixed_offsets(height: int, width: int, crop: tuple[int, int]) -> list[tuple[int, int]]:
    """The 13 (x, y) places of a crop (width, height): corners, middles, centre, quarters."""
    step_x, step_y = (width - crop[0]) // 4, (height - crop[1]) // 4
    return [(x * step_x, y * step_y) for x, y in _PLACES]


def multi_scale_box(rng: np.random.Generator, height: int, width: int, target: int) -> Box:
    """A random size and place of multi-scale cropping."""
    sizes = multi_scale_sizes(height, width, target)
    w, h = sizes[rng.integers(len(sizes))]
    places = fixed_offsets(height, width, (w, h))
    x, y = places[rng.integers(len(places))]
    return Box(y, x, h, w)
