"""The published training augmentation: geometry, channel order and time; no colour, no scale."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxvision.errors import InputError

Frames = UInt8[np.ndarray, "n h w 3"]


class Draw(NamedTuple):
    """One sample's choices. top, left: of the crop.  turns: quarter turns clockwise."""

    top: int
    left: int
    reverse_channels: bool
    swap: bool
    flip_vertical: bool
    flip_horizontal: bool
    turns: int


def draw(rng: np.random.Generator, size: tuple[int, int], crop: tuple[int, int]) -> Draw:
    """Each choice by itself with probability 1/2, the four turns alike (two for an oblong crop)."""
    if size[0] < crop[0] or size[1] < crop[1]:
        raise InputError(f"frames of {size[1]}x{size[0]} are smaller than {crop[1]}x{crop[0]}")
    turns = int(rng.integers(4)) if crop[0] == crop[1] else 2 * int(rng.integers(2))
    top = int(rng.integers(size[0] - crop[0] + 1))
    left = int(rng.integers(size[1] - crop[1] + 1))
    reverse, swap, vertical, horizontal = (bool(choice) for choice in rng.integers(2, size=4))
    return Draw(top, left, reverse, swap, vertical, horizontal, turns)


def augment(
    frames: Frames, time: float, crop: tuple[int, int], choice: Draw
) -> tuple[Frames, float]:
    """(frames, time) as drawn; frames are (first, target, last).

    Swapping first and last turns time t into 1 - t.
    """
    height, width = crop
    frames = frames[:, choice.top : choice.top + height, choice.left : choice.left + width]
    if choice.reverse_channels:
        frames = frames[..., ::-1]
    if choice.swap:
        frames, time = frames[::-1], 1 - time
    if choice.flip_vertical:
        frames = frames[:, ::-1]
    if choice.flip_horizontal:
        frames = frames[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(frames, -choice.turns, axes=(1, 2))), time


def pick_three(rng: np.random.Generator, frames: int) -> tuple[tuple[int, int, int], float]:
    """Three distinct positions in order, and the time of the middle one (RIFE's rule)."""
    first, middle, last = sorted(int(i) for i in rng.choice(frames, 3, replace=False))
    return (first, middle, last), (middle - first) / (last - first)
