"""From key frames to padded clips: records, sizes, buckets, and a sample's arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from jaxvision.data.actions import clip_frames, pixel_boxes
from jaxvision.data.actions.ava_people import read_frame_list, read_people
from jaxvision.data.actions.key_frames import (
    KeyFrame,
    KeyFrameRecords,
    ava_key_frames,
    film_sizes,
    own_key_frames,
    tube_key_frames,
)
from jaxvision.data.actions.moving_figures import FigureClip, MovingFigures
from jaxvision.data.actions.own_lists import read_own_list
from jaxvision.data.actions.size_buckets import size_buckets
from jaxvision.data.fixed_point_resize import opencv_resize
from jaxvision.data.source import Records, RecordSubset
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks.tube_scores import tubes_of

DATA_NAMES = ("figures", "ava", "tubes", "own")
MULTIPLE = 32
# Shapes of films, for plans of runs whose data are elsewhere.
USUAL_SIZES = ((360, 480), (360, 640))
Size = tuple[int, int]  # height, width


class Bucket(NamedTuple):
    """Clips whose shorter side is `side`, padded to (height, width)."""

    side: int
    height: int
    width: int

    @property
    def name(self) -> str:
        return f"{self.side}:{self.height}x{self.width}"


class BucketRows(NamedTuple):
    """numbers: of a bucket's records.  padded_up: how many of them have more padding than their own
    size asks for."""

    numbers: list[int]
    padded_up: int


@dataclass(frozen=True)
class BucketRecords(RecordSubset):
    """The records of a bucket; `summary` says what it is."""

    told: str = ""

    def summary(self) -> str:
        return self.told


def is_here(config: ConfigDict) -> bool:
    """Whether the training's annotations can be looked at."""
    data = config.data
    if data.name == "figures":
        return True
    file = data.tubes if data.name == "tubes" else data.train
    return bool(file) and path_to(file).is_file()


def records_of(config: ConfigDict, split: str, names: Sequence[str]) -> Records:
    """The key frames of "train" or "validation".  names: of the actions."""
    data = config.data
    if data.name == "figures":
        return MovingFigures(
            count=int(data[split]),
            seed=config.seed + 7919 * (split == "validation"),
            frames=config.model.frames,
            height=data.height,
            width=data.width,
            most=data.people,
            motions=data.motions,
        )
    root = path_to(data.root)
    if data.name == "tubes":
        truth = tubes_of(config)
        videos = truth.split(data.split, "train" if split == "train" else "test")
        return tube_key_frames(truth, videos, root, data.template)
    if not data[split]:
        raise InputError(f"data.{split}: expected a file of annotations")
    if data.name == "own":
        moments = read_own_list(path_to(data[split]), names, data.unit)
        return own_key_frames(moments, root, data.unit)
    people = read_people(path_to(data[split]), data.classes)
    lists = read_frame_list(path_to(data[f"{split}_frames"]))
    records = ava_key_frames(people, lists, root, classes=data.classes, rate=data.rate)
    if not records.items:
        raise InputError(
            f"{data[split]}: no annotated second of a film that data.{split}_frames="
            f"{data[f'{split}_frames']} lists; left out: {records.left_out() or 'nothing'}"
        )
    return records


def frame_sizes(records: Records) -> list[Size]:
    """(height, width) of each record's frames; every film is opened once."""
    if isinstance(records, MovingFigures):
        return [(records.height, records.width)] * len(records)
    return film_sizes([records[index] for index in range(len(records))])


def buckets_of(
    sizes: Sequence[Size], short_sides: Sequence[int], most: int, least: int = 1
) -> dict[Bucket, BucketRows]:
    """The records of each bucket; every record is in one of each short side.

    sizes: of the films.  most: buckets there may be, shared among the short sides.  least: records
    of each, as far as there are others to join.
    """
    found: dict[Bucket, BucketRows] = {}
    for side in short_sides:
        clips = [clip_frames.rounded_size(height, width, side) for height, width in sizes]
        chosen = size_buckets(clips, MULTIPLE, max(most // len(short_sides), 1), least)
        own = [clip_frames.padded_size(np.array([clip]), MULTIPLE) for clip in clips]
        for number, size in enumerate(chosen.sizes):
            rows = [row for row, bucket in enumerate(chosen.bucket) if bucket == number]
            padded_up = sum(own[row] != size for row in rows)
            if rows:
                found[Bucket(side, *size)] = BucketRows(rows, padded_up)
    return found


def resized_clip(
    frames: UInt8[np.ndarray, "t h w 3"], boxes: Float[np.ndarray, "people 4"], side: int
) -> tuple[UInt8[np.ndarray, "t h2 w2 3"], Float[np.ndarray, "people 4"]]:
    """Frames whose shorter side is `side`, and boxes (shares of a frame) in their pixels.

    As published: pixels by OpenCV's rule, and both coordinates by the shorter side's ratio.
    """
    height, width = frames.shape[1:3]
    in_pixels = pixel_boxes.from_shares(boxes.astype(np.float32), (width, height))
    ratio = np.float32(side / min(height, width))
    size = clip_frames.rounded_size(height, width, side)
    return opencv_resize(frames, size), in_pixels * ratio


def stilled(clip: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t h w 3"]:
    """The middle frame in place of every frame (`task.still`)."""
    return np.broadcast_to(clip[len(clip) // 2], clip.shape)


@dataclass(frozen=True, kw_only=True)
class ClipTransform:
    """A key frame as a sample.

    frames, stride: of a clip.  people, classes: rows and columns of the actions.  flip: mirror half
    of the clips.  still: show the middle frame only.  buckets: by name.
    """

    frames: int
    stride: int
    people: int
    classes: int
    flip: bool
    buckets: dict[str, Bucket]
    still: bool = False

    def __call__(
        self, record: KeyFrame | FigureClip, rng: np.random.Generator, bucket: str
    ) -> dict[str, np.ndarray]:
        """`video` [t, h, w, 3] uint8; `size` (w, h, w, h); `boxes` in its pixels, `actions` and
        `exists` of people; `beyond` and `emptied`: how many found no room, or lay outside."""
        place = self.buckets[bucket]
        # 1. Frames and boxes at the bucket's scale, mirrored or not.
        if isinstance(record, FigureClip):
            frames = record.frames
            shares = pixel_boxes.shares(record.boxes, frames.shape[2:0:-1])
        else:
            frames, shares = record.clip(self.frames, self.stride), record.boxes
        clip, boxes = resized_clip(frames, shares, place.side)
        clip = stilled(clip) if self.still else clip
        height, width = clip.shape[1:3]
        if self.flip and rng.random() < 0.5:
            clip, boxes = clip[:, :, ::-1], pixel_boxes.mirrored(boxes, width)
        boxes = pixel_boxes.clipped(boxes, (width, height))
        # 2. People with a box of some area, as many as there is room for.
        whole = pixel_boxes.not_empty(boxes)
        boxes, actions = boxes[whole], record.actions[whole]
        kept = min(len(boxes), self.people)
        padding = ((0, 0), (0, place.height - height), (0, place.width - width), (0, 0))
        room = np.tile(np.array([0, 0, 1, 1], np.float32), (self.people, 1))
        room[:kept] = boxes[:kept]
        rows = np.zeros((self.people, self.classes), np.uint8)
        rows[:kept] = actions[:kept]
        return {
            "video": np.pad(clip, padding),
            "size": np.array([width, height] * 2, np.float32),
            "boxes": room,
            "actions": rows,
            "exists": np.arange(self.people) < kept,
            "beyond": np.array(len(boxes) - kept, np.int32),
            "emptied": np.array(np.sum(~whole), np.int32),
        }

    def specs(self, bucket: Bucket, batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Of a batch of `batch` samples."""

        def field(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((batch, *shape), dtype)

        return {
            "video": field(jnp.uint8, self.frames, bucket.height, bucket.width, 3),
            "size": field(jnp.float32, 4),
            "boxes": field(jnp.float32, self.people, 4),
            "actions": field(jnp.uint8, self.people, self.classes),
            "exists": field(jnp.bool_, self.people),
            "beyond": field(jnp.int32),
            "emptied": field(jnp.int32),
        }


def records_by_bucket(
    records: Records, buckets: Mapping[Bucket, BucketRows]
) -> dict[str, BucketRecords]:
    """The records of each bucket, by its name."""
    left_out = records.left_out() if isinstance(records, KeyFrameRecords) else ""
    return {
        bucket.name: BucketRecords(
            records,
            rows.numbers,
            f"{len(rows.numbers)} key frames of {bucket.side} pixels, padded to {bucket.height} x "
            f"{bucket.width}; {rows.padded_up} of them beyond their own multiple of {MULTIPLE}"
            + (f"; left out: {left_out}" if left_out else ""),
        )
        for bucket, rows in buckets.items()
    }
