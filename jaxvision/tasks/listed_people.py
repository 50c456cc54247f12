"""Key frames of tubes and of own lists, with boxes that are known or that a detector found, as
`boxed_people` has those of films in files of a second."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.actions import pixel_boxes
from jaxvision.data.actions.json_files import Image, People, read_detected
from jaxvision.data.actions.key_frames import KeyFrame, film_sizes
from jaxvision.errors import InputError
from jaxvision.tasks.boxed_people import BoxedMoments, check_frame_size

ROUNDING = 1e-6  # share of a moment that a time may lie before the middle between two


@dataclass(frozen=True)
class ListedMoment:
    """film: whose frames are read, and the number of the key frame.  image: `second` is the
    moment's number on a grid of time.  people: in pixels of the film's frames."""

    film: KeyFrame
    image: Image
    people: People

    def frames(self, count: int, stride: int) -> UInt8[np.ndarray, "{count} h w 3"]:
        """`count` frames, `stride` apart, around the key frame; a film's ends repeat. InputError
        where they are of another size than the list or its film's first frame says."""
        frames = self.film.clip(count, stride)
        check_frame_size(f"{self.image.movie} at {self.film.second:g}", frames, self.image)
        return frames


@dataclass(frozen=True)
class ListedMoments(BoxedMoments):
    """Key frames of a list, named by their times as the list has them."""

    items: tuple[ListedMoment, ...]

    def name(self, index: int) -> str:
        film = self.items[index].film
        return f"{film.video} at {film.second:g}"


def listed(
    items: Sequence[KeyFrame],
    every: float = 1.0,
    detected: Path | None = None,
    threshold: float = 0.0,
) -> ListedMoments:
    """Key frames with the people of their list, or with those that a detector found.

    every: seconds (of tubes: frames) from one moment of a film to the next; a key frame's is
    the nearest, of two the later.  detected: JSON (see `json_files`) in which image n is the n-th
    of `items`, from 0; only people with a score of at least `threshold` count. Key frames without
    people are left out.

    InputError where two key frames of a film have the same moment, and for detected boxes that
    begin beyond their frame.
    """
    # 1. The film and moment of each.
    images: dict[int, Image] = {}
    taken: dict[tuple[str, int], float] = {}
    for number, (item, (height, width)) in enumerate(zip(items, film_sizes(items), strict=True)):
        moment = (item.video, nearest_moment(item.second, every))
        if moment in taken:
            raise InputError(
                f"data.every={every:g}: key frames of {item.video} at {taken[moment]:g} and "
                f"{item.second:g} are one moment; expected at most what is between them"
            )
        taken[moment] = item.second
        images[number] = Image(*moment, width, height)
    # 2. People in pixels, inclusive.
    if detected is not None:
        people, dropped = read_detected(detected, images, threshold, within=True)
    else:
        people, dropped = {}, 0
        for number, item in enumerate(items):
            size = images[number].width, images[number].height
            behind = item.boxes.astype(np.float32) * np.tile(np.array(size, np.float32), 2)
            boxes = pixel_boxes.clipped(behind - np.array([0, 0, 1, 1], np.float32), size)
            kept = pixel_boxes.not_empty(boxes)
            dropped += int(np.sum(~kept))
            scores = np.ones(int(np.sum(kept)), np.float32)
            people[number] = People(boxes[kept], item.actions[kept], scores)
    found = tuple(
        ListedMoment(item, images[number], people[number])
        for number, item in enumerate(items)
        if number in people and len(people[number].boxes)
    )
    return ListedMoments(found, dropped, len(items) - len(found))


def nearest_moment(second: float, every: float) -> int:
    """The number of the moment nearest to a time; of two that are as near, the later one, so that
    times `every` apart are always neighbours (Python's rounding goes to the even one)."""
    return math.floor(second / every + 0.5 + ROUNDING)
