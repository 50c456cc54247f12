"""Key frames of films that are cut into a file a second, with their people (AVA as CycleACR and
AlphAction keep it)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.actions.json_files import Image, People, read_annotations, read_detected
from jaxvision.data.actions.second_files import clip_around
from jaxvision.errors import InputError


class SecondOfFilm(NamedTuple):
    """image: which second, of which film, at which size its boxes are.  people: of its first
    frame."""

    image: Image
    people: People
    folder: Path

    def clip(self, frames: int, stride: int) -> UInt8[np.ndarray, "{frames} h w 3"]:
        """Frames around the key frame. InputError where they have another size than the boxes
        were annotated at."""
        found = clip_around(self.folder, self.image.second, frames, stride)
        height, width = found.shape[1:3]
        if (width, height) != (self.image.width, self.image.height):
            raise InputError(
                f"{self.folder}: frames of {width} x {height}; boxes of second "
                f"{self.image.second} are for {self.image.width} x {self.image.height}"
            )
        return found


@dataclass(frozen=True)
class FilmSeconds:
    """Seconds that have people, by ascending image id.  root: of the films' folders."""

    images: Mapping[int, Image]
    people: Mapping[int, People]
    root: Path
    dropped: int = 0

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted(n for n, found in self.people.items() if len(found.boxes)))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> SecondOfFilm:
        number = self.numbers[index]
        image = self.images[number]
        return SecondOfFilm(image, self.people[number], self.root / image.movie)

    def moment(self, index: int) -> tuple[str, int]:
        """(film, second) of a record."""
        image = self.images[self.numbers[index]]
        return image.movie, image.second

    def name(self, index: int) -> str:
        return "{} at {}".format(*self.moment(index))

    def files(self) -> list[Path]:
        """The films' folders."""
        return sorted({self.root / self.images[n].movie for n in self.numbers})

    def summary(self) -> str:
        """Seconds with and without people, and boxes that are empty within their frame."""
        without = len(self.images) - len(self.numbers)
        return (
            f"{len(self.numbers)} seconds with people, {without} without; {self.dropped} boxes "
            "empty within their frame"
        )


def annotated_seconds(path: Path, root: Path, classes: int) -> FilmSeconds:
    """Of an annotation file (`json_files.read_annotations`)."""
    images, people, dropped = read_annotations(path, classes)
    return FilmSeconds(images, people, root, dropped)


def detected_seconds(
    annotations: Path, boxes: Path, root: Path, classes: int, threshold: float
) -> FilmSeconds:
    """Of the people that a detector found on an annotation file's images, with at least
    `threshold`. InputError names an image that the annotations do not list."""
    images, _, _ = read_annotations(annotations, classes)
    people, dropped = read_detected(boxes, images, threshold)
    return FilmSeconds(images, people, root, dropped)
