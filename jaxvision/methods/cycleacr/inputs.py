"""From key frames to padded clips: frame sizes, buckets, and a sample's arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxvision.data.actions import clip_frames, pixel_boxes
from jaxvision.data.actions.film_figures import FilmFigures
from jaxvision.data.actions.size_buckets import size_buckets
from jaxvision.data.augment.hsv import shift_hsv
from jaxvision.data.fixed_point_resize import opencv_resize
from jaxvision.data.source import RecordSubset
from jaxvision.methods.cycleacr.films import Records
from jaxvision.methods.cycleacr.memory import NO_ROW, Moment, window_rows
from jaxvision.methods.cycleacr.pretrained import clip_numbers
from jaxvision.methods.cycleacr.variants import RATIO
from jaxvision.tasks import boxed_people

MULTIPLE = 16
# Shapes of films, for plans of runs whose data are elsewhere.
USUAL_SIZES = ((360, 480), (360, 640))
Size = tuple[int, int]  # height, width


class Bucket(NamedTuple):
    """Clips padded to (height, width)."""

    height: int
    width: int

    @property
    def name(self) -> str:
        return f"{self.height}x{self.width}"


def buckets_of(
    sizes: Sequence[Size], config: ConfigDict, crop: int, least: int = 1
) -> dict[Bucket, list[int]]:
    """The records of each padded size.  crop: side of what is cut out of a clip; 0: nothing."""
    task = config.task
    if crop:
        return {Bucket(crop, crop): list(range(len(sizes)))}
    clips = [
        clip_frames.bounded_size(*size, task.short_side, task.long_side or None) for size in sizes
    ]
    chosen = size_buckets(clips, MULTIPLE, task.most_buckets, least)
    found = {
        Bucket(*size): [row for row, bucket in enumerate(chosen.bucket) if bucket == number]
        for number, size in enumerate(chosen.sizes)
    }
    return {bucket: rows for bucket, rows in found.items() if rows}


@dataclass(frozen=True, kw_only=True)
class ClipTransform:
    """A key frame as a sample.

    frames, stride: of a clip; two: of both pathways.  sides: the shorter side of clips, and the
    most that the longer may have (0: any).  people, classes: rows and columns of the actions.
    extend: shares that boxes grow by in testing.  crop, flip, jitter, colours, cropped: of training
    (see settings.py).  rows: of the memory, by moment; window: how it is read.
    """

    frames: int
    stride: int
    two: bool
    sides: tuple[int, int]
    people: int
    classes: int
    training: bool
    extend: tuple[float, float]
    crop: int
    flip: bool
    jitter: bool
    colours: bool
    cropped: str
    buckets: Mapping[str, Bucket]
    rows: Mapping[Moment, int]
    window: Any

    def __call__(
        self, record: boxed_people.PeopleMoment, rng: np.random.Generator, bucket: str
    ) -> dict[str, np.ndarray]:
        """`fast` (and `slow`) [t, h, w, 3] uint8, `size` (width, height); `boxes` in its pixels,
        `shares`: unscaled, of the frame; `actions`, `scores` and `exists` of people; `row` and
        `window` of the memory; `beyond` and `emptied`: people without room, or cropped away."""
        place, people = self.buckets[bucket], record.people
        span = self.frames * self.stride
        film = record.frames(span, 1)
        # 1. Resized frames of each pathway, and boxes in their pixels.
        old = (film.shape[1], film.shape[2])
        new = clip_frames.bounded_size(*old, self.sides[0], self.sides[1] or None)
        boxes = pixel_boxes.resized(people.boxes, old[::-1], new[::-1])
        slowest = self.stride * (RATIO if self.two else 1)
        start = int(rng.integers(slowest)) if self.training else None
        numbers = clip_numbers(len(film), self.frames, self.stride, self.two, start)
        clips = [opencv_resize(film[chosen], new) for chosen in numbers]
        # 2. Crop, colours and mirror, of training alone.
        kept = np.ones(len(boxes), bool)
        if self.training:
            if self.crop:
                clips, boxes, new = self._cropped(clips, boxes, new, rng)
                if self.cropped == "drop":
                    kept = pixel_boxes.not_empty(boxes)
            if self.colours:
                shift = [int(rng.integers(-most, most + 1)) for most in (10, 26, 26)]
                clips = [shift_hsv(clip, *shift) for clip in clips]
            if self.flip and rng.random() < 0.5:
                clips = [clip[:, :, ::-1] for clip in clips]
                boxes = pixel_boxes.mirrored(boxes, new[1])
        emptied = int(np.sum(~pixel_boxes.not_empty(boxes)))
        size = new[::-1]
        # 3. People, as many as there is room for: any of them in training, the surest in testing.
        order = np.flatnonzero(kept)
        if len(order) > self.people:
            scores = people.scores[order]
            chosen = rng.permutation(len(order)) if self.training else np.argsort(-scores)
            order = np.sort(order[chosen[: self.people]])
        boxes = boxes[order]
        shares = pixel_boxes.shares(boxes, size)
        if self.training and self.jitter:
            boxes = pixel_boxes.jittered(boxes, size, rng.random(boxes.shape).astype(np.float32))
        elif not self.training:
            boxes = pixel_boxes.extended(boxes, self.extend, size)
        moment = record.image.movie, record.image.second
        found = {
            "fast": self._padded(clips[-1], place),
            "size": np.array(size, np.float32),
            "boxes": self._room(boxes),
            "shares": self._room(shares),
            "actions": self._room(people.actions[order], self.classes),
            "scores": self._room(people.scores[order, None])[:, 0],
            "exists": np.arange(self.people) < len(order),
            "row": np.array(self.rows.get(moment, NO_ROW), np.int32),
            "window": window_rows(self.rows, *moment, self.window),
            "beyond": np.array(int(kept.sum()) - len(order), np.int32),
            "emptied": np.array(emptied, np.int32),
        }
        return found | ({"slow": self._padded(clips[0], place)} if self.two else {})

    def _cropped(
        self, clips: list[np.ndarray], boxes: np.ndarray, size: Size, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], np.ndarray, Size]:
        """A square of side `crop` anywhere; a frame that is smaller is as it is."""
        side = [min(self.crop, each) for each in size]
        y, x = (int(rng.integers(each - cut + 1)) for each, cut in zip(size, side, strict=True))
        inside = (x, y, x + side[1], y + side[0])
        boxes = pixel_boxes.cropped(boxes, inside)
        cut = [clip[:, y : y + side[0], x : x + side[1]] for clip in clips]
        return cut, boxes, (side[0], side[1])

    def _padded(self, clip: np.ndarray, place: Bucket) -> np.ndarray:
        height, width = clip.shape[1:3]
        return np.pad(clip, ((0, 0), (0, place.height - height), (0, place.width - width), (0, 0)))

    def _room(self, values: np.ndarray, columns: int | None = None) -> np.ndarray:
        """Rows up to `people`; columns where a detector's people know none."""
        width = columns or values.shape[1]
        room = np.zeros((self.people, width), values.dtype)
        room[: len(values), : values.shape[1]] = values
        return room

    def specs(self, bucket: Bucket, batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Of a batch of `batch` samples."""

        def field(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((batch, *shape), dtype)

        clip = (bucket.height, bucket.width, 3)
        found = {
            "fast": field(jnp.uint8, self.frames, *clip),
            "size": field(jnp.float32, 2),
            "boxes": field(jnp.float32, self.people, 4),
            "shares": field(jnp.float32, self.people, 4),
            "actions": field(jnp.uint8, self.people, self.classes),
            "scores": field(jnp.float32, self.people),
            "exists": field(jnp.bool_, self.people),
            "row": field(jnp.int32),
            "window": field(jnp.int32, self.window.moments),
            "beyond": field(jnp.int32),
            "emptied": field(jnp.int32),
        }
        if self.two:
            found["slow"] = field(jnp.uint8, self.frames // RATIO, *clip)
        return found


@dataclass(frozen=True)
class BucketRecords(RecordSubset):
    """The records of a bucket; `summary` says what it is."""

    told: str = ""

    def summary(self) -> str:
        return self.told


def records_by_bucket(
    records: Records, buckets: Mapping[Bucket, list[int]]
) -> dict[str, BucketRecords]:
    """The records of each bucket, by its name."""
    about = f"{len(records)} seconds" if isinstance(records, FilmFigures) else records.summary()
    return {
        bucket.name: BucketRecords(
            records, rows, f"{len(rows)} key frames padded to {bucket.name}; of {about}"
        )
        for bucket, rows in buckets.items()
    }
