"""From a labelled video to training clips, a validation clip, or test views: the host's side.

Clips travel to the device as 8-bit pixels, a quarter of float32's bytes; the resized crop is
rounded to them. Normalising, erasing and mixing happen there (classification_task.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from jaxvision.data import clip_sampling, crops
from jaxvision.data.augment.rand_augment import RandAugment
from jaxvision.data.resize import resize_short_side, resized_crop_uint8
from jaxvision.data.source import Records, Sample
from jaxvision.data.tfds import TfdsVideo
from jaxvision.data.video_list import LabelledVideo
from jaxvision.errors import InputError, nearest

Item = LabelledVideo | TfdsVideo
Clip = UInt8[np.ndarray, "t h w 3"]


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video make a clip.

    kind: "dense", `frames` spread over a span of frames x stride (Kinetics); or "segments", one
        frame of each of `frames` equal parts of the video (Something-Something).
    """

    kind: str
    frames: int
    stride: int = 4

    def __post_init__(self):
        if self.kind not in ("dense", "segments"):
            raise InputError(f"sampling {self.kind!r}{nearest(self.kind, ('dense', 'segments'))}")

    def training(self, total: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
        if self.kind == "dense":
            span = self.frames * self.stride
            end = int(rng.integers(span, total)) if total > span else span
            return clip_sampling.dense_training_clip(total, self.frames, self.stride, end)
        length = max(total // self.frames, 1)
        return clip_sampling.segment_clip(
            total, self.frames, rng.integers(length, size=self.frames)
        )

    def validation(self, total: int) -> Int[np.ndarray, " t"]:
        if self.kind == "dense":
            return clip_sampling.dense_validation_clip(total, self.frames, self.stride)
        return clip_sampling.segment_clip(total, self.frames)

    def test(self, total: int, segments: int) -> Int[np.ndarray, "segments t"]:
        if self.kind == "dense":
            return clip_sampling.dense_test_clips(total, self.frames, self.stride, segments)
        return clip_sampling.sparse_test_clips(total, self.frames, segments)


def read(item: Item, choose: Callable[[int], np.ndarray]) -> Clip:
    """The frames whose numbers `choose` picks, given how many there are."""
    with item.open() as video:
        return video.frames(choose(len(video)))


@dataclass(frozen=True)
class TrainingClips:
    """`repeats` augmented crops of one decoded clip, next to each other in the batch.

    RandAugment on whole frames, a random resized crop, a flip of every second crop on average.
    size: (height, width).  flip: not where left and right are labels (Something-Something).
    """

    sampling: Sampling
    size: tuple[int, int]
    augment: RandAugment | None
    flip: bool = True
    repeats: int = 1

    def __call__(self, item: Item, rng: np.random.Generator, bucket: str) -> list[Sample]:
        frames = read(item, lambda total: self.sampling.training(total, rng))
        label = np.int32(item.label)
        return [{"video": self.crop(frames, rng), "label": label} for _ in range(self.repeats)]

    def crop(self, frames: Clip, rng: np.random.Generator) -> Clip:
        """One augmented crop of the frames."""
        if self.augment is not None:
            frames = self.augment(frames, rng)
        box = crops.resized_crop_box(rng, *frames.shape[1:3])
        mirrored = self.flip and rng.random() < 0.5
        return resized_crop_uint8(frames, box, self.size, mirrored)


@dataclass(frozen=True)
class ValidationClip:
    """The clip in the middle of the video, the centre of its frames."""

    sampling: Sampling
    size: tuple[int, int]

    def __call__(self, record: tuple[int, Item], *_: Any) -> Sample:
        number, item = record
        frames = read(item, self.sampling.validation)
        frames = resize_short_side(frames, max(self.size))
        height, width = frames.shape[1:3]
        box = crops.centre_box(height, width, self.size)
        return _view(box.cut(frames), item, number, 0)


@dataclass(frozen=True)
class MultiViewClips:
    """Square crops along the longer side of one test clip: `crops` samples of one record.

    A record is (number of the video, the video, segment); `segments` are the clips of a video.
    """

    sampling: Sampling
    side: int
    segments: int
    crops: int

    def __call__(self, record: tuple[int, Item, int], *_: Any) -> list[Sample]:
        number, item, segment = record
        frames = read(item, lambda total: self.sampling.test(total, self.segments)[segment])
        frames = resize_short_side(frames, self.side)
        height, width = frames.shape[1:3]
        boxes = crops.long_side_boxes(height, width, self.crops)
        return [
            _view(box.cut(frames), item, number, segment * self.crops + place)
            for place, box in enumerate(boxes)
        ]


def _view(clip: Clip, item: Item, number: int, view: int) -> Sample:
    return {
        "video": np.ascontiguousarray(clip),
        "label": np.int32(item.label),
        "number": np.int32(number),
        "view": np.int32(view),
    }


@dataclass(frozen=True)
class NumberedVideos:
    """Videos with their number, each once per segment (0: without naming a segment)."""

    videos: Records
    segments: int = 0

    def __len__(self) -> int:
        return len(self.videos) * max(self.segments, 1)

    def __getitem__(self, index: int) -> tuple:
        if not self.segments:
            return index, self.videos[index]
        number, segment = divmod(index, self.segments)
        return number, self.videos[number], segment

    def name(self, index: int) -> str:
        return self.videos.name(index // max(self.segments, 1))

    def files(self) -> list[Path]:
        return getattr(self.videos, "files", list)()
