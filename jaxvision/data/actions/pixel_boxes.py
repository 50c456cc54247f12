"""Rules of boxes x1, y1, x2, y2 in pixels with inclusive borders, as AlphAction and CycleACR use
them: a side is x2 - x1 + 1, and a frame's last pixel is width - 1. Sizes are (width, height).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Boxes = Float[np.ndarray, "n 4"]
Size = tuple[int, int]


class Jitter(NamedTuple):
    """How far a side moves at most, as shares of the box's side: outwards and inwards."""

    x_out: float = 0.2
    x_in: float = 0.1
    y_out: float = 0.1
    y_in: float = 0.05


def from_corner_and_size(boxes: Boxes) -> Boxes:
    """x1, y1, x2, y2 of x, y, width, height; a side below one pixel is one pixel."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + np.maximum(boxes[:, 2:] - 1, 0)], axis=1)


def to_corner_and_size(boxes: Boxes) -> Boxes:
    """x, y, width, height."""
    return np.concatenate([boxes[:, :2], sides(boxes)], axis=1)


def sides(boxes: Boxes) -> Float[np.ndarray, "n 2"]:
    """Width and height."""
    return boxes[:, 2:] - boxes[:, :2] + 1


def area(boxes: Boxes) -> Float[np.ndarray, " n"]:
    """Pixels of each box."""
    return np.prod(sides(boxes), axis=1)


def resized(boxes: Boxes, old: Size, new: Size) -> Boxes:
    """Boxes of a frame of size `old` on the frame at size `new`."""
    ratio = np.array(new, np.float64) / np.array(old, np.float64)
    return (boxes * np.tile(ratio, 2)).astype(boxes.dtype)


def mirrored(boxes: Boxes, width: int) -> Boxes:
    """Boxes of a frame whose left and right are exchanged: x becomes width - x - 1."""
    x1, y1, x2, y2 = boxes.T
    return np.stack([width - x2 - 1, y1, width - x1 - 1, y2], axis=1)


def upside_down(boxes: Boxes, height: int) -> Boxes:
    """Boxes of a frame whose top and bottom are exchanged: y becomes height - y, as published."""
    x1, y1, x2, y2 = boxes.T
    return np.stack([x1, height - y2, x2, height - y1], axis=1)


def clipped(boxes: Boxes, size: Size) -> Boxes:
    """Boxes with every corner on a pixel of the frame."""
    last = np.tile(np.array(size) - 1, 2).astype(boxes.dtype)
    return np.clip(boxes, 0, last)


def not_empty(boxes: Boxes) -> Bool[np.ndarray, " n"]:
    """Which boxes extend over more than one pixel in x and in y."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def extended(boxes: Boxes, shares: tuple[float, float], size: Size) -> Boxes:
    """Boxes whose width and height grow by `shares` of themselves (below 0: shrink) about their
    centres, clipped to the frame; empty ones stay."""
    move = sides(boxes) * np.array(shares, boxes.dtype) / 2
    return clipped(np.concatenate([boxes[:, :2] - move, boxes[:, 2:] + move], axis=1), size)


def cropped(boxes: Boxes, inside: tuple[int, int, int, int]) -> Boxes:
    """Boxes on the part x1, y1, x2, y2 of a frame. A box beyond it becomes empty and stays;
    corners reach the part's width and height, not one less, as published."""
    x1, y1, x2, y2 = inside
    moved = boxes - np.array([x1, y1, x1, y1], boxes.dtype)
    return np.clip(moved, 0, np.array([x2 - x1, y2 - y1] * 2, boxes.dtype))


def jittered(boxes: Boxes, size: Size, draws: Boxes, jitter: Jitter | None = None) -> Boxes:
    """Boxes with every side moved by its own draw; at least one pixel apart and within the frame.

    draws: uniform in [0, 1), for x1, y1, x2, y2: 0 moves x1 and y1 furthest out, and x2 and y2
    furthest in.
    """
    jitter = jitter or Jitter()
    low = np.array([-jitter.x_out, -jitter.y_out, -jitter.x_in, -jitter.y_in], boxes.dtype)
    high = np.array([jitter.x_in, jitter.y_in, jitter.x_out, jitter.y_out], boxes.dtype)
    moved = boxes + (low + (high - low) * draws) * np.tile(sides(boxes), 2)
    last = (np.array(size) - 1).astype(boxes.dtype)
    first = np.clip(moved[:, :2], 0, last - 1)
    return np.concatenate([first, np.clip(moved[:, 2:], first + 1, last)], axis=1)


def from_shares(boxes: Boxes, size: Size) -> Boxes:
    """Boxes in pixels, within the frame, of boxes as shares of it (STMixer: x times the width)."""
    return clipped(boxes * np.tile(np.array(size, boxes.dtype), 2), size)


def shares(boxes: Boxes, size: Size) -> Boxes:
    """Boxes as shares of the frame, 0 to 1, from their first to behind their last pixel."""
    behind = boxes + np.array([0, 0, 1, 1], boxes.dtype)
    return np.clip(behind / np.tile(np.array(size, boxes.dtype), 2), 0, 1)
