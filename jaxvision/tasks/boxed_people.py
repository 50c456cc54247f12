"""Clips of people whose boxes are known, as AlphAction and the methods that follow it keep AVA:
annotations and detections as JSON, films as one file a second."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jaxvision.data.actions import clip_frames, pixel_boxes
from jaxvision.data.actions.json_files import Image, People, read_annotations, read_detected
from jaxvision.data.actions.moving_figures import FigureClip, MovingFigures
from jaxvision.data.actions.second_files import clip_around
from jaxvision.data.augment.hsv import shift_hsv
from jaxvision.data.fixed_point_resize import opencv_resize
from jaxvision.errors import InputError

Size = tuple[int, int]  # height, width


class PeopleMoment(Protocol):
    """What a key frame is asked for. image: its film and second.  people: in pixels of its
    frames."""

    @property
    def image(self) -> Image: ...
    @property
    def people(self) -> People: ...
    def frames(self, count: int, stride: int) -> UInt8[np.ndarray, "t h w 3"]: ...


def check_frame_size(place: str, frames: UInt8[np.ndarray, "t h w 3"], image: Image) -> None:
    """InputError, which begins with `place`, where frames are of another size than their boxes."""
    height, width = frames.shape[1:3]
    if (width, height) != (image.width, image.height):
        raise InputError(
            f"{place}: frames of {width} x {height}; its boxes are of {image.width} x "
            f"{image.height}"
        )


@dataclass(frozen=True)
class BoxedMoment:
    """A key frame: folder of its film's seconds, what the annotations say of it, and people, whose
    boxes are in pixels of the annotated size."""

    folder: Path
    image: Image
    people: People

    def frames(self, count: int, stride: int) -> UInt8[np.ndarray, "{count} h w 3"]:
        """`count` frames, `stride` apart, around the key frame. InputError where they are of
        another size than the annotations say."""
        frames = clip_around(self.folder, self.image.second, count, stride)
        check_frame_size(f"{self.folder}, second {self.image.second}", frames, self.image)
        return frames


@dataclass(frozen=True)
class MadeMoment:
    """A clip of drawn figures as a key frame whose people are known exactly."""

    clip: FigureClip

    @property
    def image(self) -> Image:
        return Image("figures", 0, self.clip.frames.shape[2], self.clip.frames.shape[1])

    @property
    def people(self) -> People:
        boxes = self.clip.boxes
        return People(boxes, self.clip.actions, np.ones(len(boxes), np.float32))

    def frames(self, count: int, stride: int) -> UInt8[np.ndarray, "t h w 3"]:
        return self.clip.frames


@dataclass(frozen=True)
class FilmMoment:
    """A key frame whose clip has been read. people: in pixels of the frames."""

    clip: UInt8[np.ndarray, "t h w 3"]
    image: Image
    people: People

    @property
    def size(self) -> Size:
        return self.image.height, self.image.width

    def frames(self, count: int, stride: int) -> UInt8[np.ndarray, "t h w 3"]:
        return self.clip


@dataclass(frozen=True)
class BoxedMoments:
    """Key frames as the loader wants them. dropped: boxes that were empty within their frame.
    without: seconds of the annotations that have no people, and are no key frames."""

    items: tuple[PeopleMoment, ...]
    dropped: int
    without: int = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> PeopleMoment:
        return self.items[index]

    def name(self, index: int) -> str:
        image = self.items[index].image
        return f"{image.movie} at {image.second}"

    def summary(self) -> str:
        found = f"{len(self.items)} key frames with people"
        if self.without:
            found += f", {self.without} without"
        return f"{found}; {self.dropped} boxes were empty"

    def sizes(self) -> list[Size]:
        return [(item.image.height, item.image.width) for item in self.items]

    def moments(self) -> list[tuple[str, int]]:
        """(film, second) of every record."""
        return [(item.image.movie, item.image.second) for item in self.items]


@dataclass(frozen=True)
class MadeMoments:
    """Drawn figures as key frames."""

    figures: MovingFigures

    def __len__(self) -> int:
        return len(self.figures)

    def __getitem__(self, index: int) -> MadeMoment:
        return MadeMoment(self.figures[index])

    def name(self, index: int) -> str:
        return self.figures.name(index)

    def sizes(self) -> list[Size]:
        return [(self.figures.height, self.figures.width)] * len(self)


def annotated(annotations: Path, root: Path, classes: int) -> BoxedMoments:
    """The annotated people of every key frame that has any. root: folder of the films' folders."""
    images, people, dropped = read_annotations(annotations, classes)
    return _moments(images, people, root, dropped)


def detected(
    annotations: Path, detections: Path, root: Path, classes: int, threshold: float
) -> BoxedMoments:
    """The detected people with a score of at least `threshold`, of the images of `annotations`."""
    images, _, _ = read_annotations(annotations, classes)
    people, dropped = read_detected(detections, images, threshold)
    return _moments(images, people, root, dropped)


def _moments(
    images: Mapping[int, Image], people: Mapping[int, People], root: Path, dropped: int
) -> BoxedMoments:
    items = [
        BoxedMoment(root / images[number].movie, images[number], found)
        for number, found in people.items()
        if len(found.boxes)
    ]
    return BoxedMoments(tuple(items), dropped, len(images) - len(items))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How a training clip is changed.

    crop: side of a random square.  flip: mirror half of the clips.  colour: largest shift of hue
    (of 180), and of saturation and value (of 255).  jitter: how far the sides of a box move
    (None: AlphAction's shares).
    """

    crop: int
    flip: bool = True
    colour: tuple[int, int] = (10, 26)
    jitter: pixel_boxes.Jitter | None = None


@dataclass(frozen=True, kw_only=True)
class BoxedClips:
    """A key frame as a sample.

    frames, stride: of a clip.  short_side: of its frames, before a crop.  people, classes: rows and
    columns of the actions.  augmentation: None in evaluation, where boxes are widened and
    heightened by shares `grown` of themselves.  sizes: padded (height, width), by bucket.
    """

    frames: int
    stride: int
    short_side: int
    people: int
    classes: int
    sizes: Mapping[str, Size]
    augmentation: Augmentation | None = None
    grown: tuple[float, float] = (0.1, 0.05)

    def __call__(
        self, record: PeopleMoment, rng: np.random.Generator, bucket: str
    ) -> dict[str, np.ndarray]:
        """`video` [t, h, w, 3] uint8 and its `size` (w, h) without padding; `boxes` in its pixels,
        `actions`, `scores` (the person detector's) and `exists` of people; `beyond`: how many found
        no room."""
        # 1. Frames and boxes at the wanted size.
        frames, people = record.frames(self.frames, self.stride), record.people
        height, width = frames.shape[1:3]
        size = clip_frames.bounded_size(height, width, self.short_side)
        clip = opencv_resize(frames, size)
        boxes = pixel_boxes.resized(people.boxes, (width, height), size[::-1])
        # 2. Changed at random in training; grown in evaluation.
        if self.augmentation is None:
            boxes = pixel_boxes.extended(boxes, self.grown, size[::-1])
        else:
            clip, boxes = augmented(clip, boxes, self.augmentation, rng)
        # 3. Padded, in space and in people.
        height, width = clip.shape[1:3]
        padded = self.sizes[bucket]
        kept = min(len(boxes), self.people)
        room = np.zeros((self.people, 4), np.float32)
        room[:kept] = boxes[:kept]
        actions = np.zeros((self.people, self.classes), np.uint8)
        scores = np.zeros(self.people, np.float32)
        scores[:kept] = people.scores[:kept]
        known = people.actions.shape[1]
        actions[:kept, :known] = people.actions[:kept]
        beyond = ((0, 0), (0, padded[0] - height), (0, padded[1] - width), (0, 0))
        return {
            "video": np.pad(clip, beyond),
            "size": np.array([width, height], np.int32),
            "boxes": room,
            "actions": actions,
            "scores": scores,
            "exists": np.arange(self.people) < kept,
            "beyond": np.array(len(boxes) - kept, np.int32),
        }

    def specs(self, bucket: str, batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Of a batch of `batch` samples."""

        def field(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((batch, *shape), dtype)

        return {
            "video": field(jnp.uint8, self.frames, *self.sizes[bucket], 3),
            "size": field(jnp.int32, 2),
            "boxes": field(jnp.float32, self.people, 4),
            "actions": field(jnp.uint8, self.people, self.classes),
            "scores": field(jnp.float32, self.people),
            "exists": field(jnp.bool_, self.people),
            "beyond": field(jnp.int32),
        }


def augmented(
    clip: UInt8[np.ndarray, "t h w 3"],
    boxes: pixel_boxes.Boxes,
    how: Augmentation,
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "t c c 3"], pixel_boxes.Boxes]:
    """A random square, its colours shifted, mirrored or not; boxes with sides moved at random.
    People beyond the square stay, as published, with boxes of a pixel at its border."""
    height, width = clip.shape[1:3]
    side = how.crop
    if min(height, width) < side:
        raise InputError(f"task.crop={side}: frames of {width} x {height} are smaller")
    x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    clip = clip[:, y : y + side, x : x + side]
    boxes = pixel_boxes.cropped(boxes, (x, y, x + side, y + side))
    hue, shade = how.colour
    if hue or shade:
        turned = int(rng.integers(-hue, hue + 1))
        saturation, value = (int(v) for v in rng.integers(-shade, shade + 1, 2))
        clip = shift_hsv(clip, turned, saturation, value)
    if how.flip and rng.random() < 0.5:
        clip, boxes = clip[:, :, ::-1], pixel_boxes.mirrored(boxes, side)
    draws = rng.random(boxes.shape).astype(boxes.dtype)
    return clip, pixel_boxes.jittered(boxes, (side, side), draws, how.jitter)


def frame_sizes(records: MadeMoments | BoxedMoments, short_side: int) -> list[Size]:
    """(height, width) of each key frame's clip once it is resized."""
    return [
        clip_frames.bounded_size(height, width, short_side) for height, width in records.sizes()
    ]
