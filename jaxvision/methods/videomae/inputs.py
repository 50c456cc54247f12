"""From records to clips: videos to pretrain on, photographs under a moving camera, a probe's clips.

Fine-tuning's clips are `jaxvision.tasks.video_classification`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from jaxvision.data import pictures, video_clips
from jaxvision.data.camera import KINDS
from jaxvision.data.camera_clips import CameraClip
from jaxvision.data.crops import multi_scale_box
from jaxvision.data.resize import pillow_resized_crop
from jaxvision.data.source import Repeated, Sample, Source
from jaxvision.data.video_list import LabelledVideo, VideoRecords, read_unlabelled_list
from jaxvision.errors import InputError, check_choice
from jaxvision.training.task import BatchSpecs

DATASETS = ("camera", "videos")
HELD_OUT_CLIPS = 160
# The published loader tells data sets apart by a part of the path: another stride, or other names
# of picture files.
STRIDES = {"SomethingV2": 2}
TEMPLATES = {"SomethingV2": "img_{:05}.jpg", "AVA2.2": "image_{:06}.jpg"}


def pretraining_source(config: ConfigDict, split: str) -> Source:
    """Clips (`video`, uint8 [t, h, w, 3]) to pretrain on."""
    data = config.data
    check_choice("data.name", data.name, DATASETS)
    if data.name == "videos":
        return video_source(config)
    found = pictures.folder(data.root) if data.root else pictures.built_in(split)
    records = Repeated(found, data.clips)
    return Source(records, config.train.batch_size, CameraClip.of(config))


def held_out_source(config: ConfigDict) -> tuple[Source, BatchSpecs]:
    """Clips (`video`) of built-in photographs that are never trained on, and their batches."""
    size, model = config.train.batch_size, config.model
    records = Repeated(pictures.built_in("held_out"), HELD_OUT_CLIPS)
    video = jax.ShapeDtypeStruct((size, model.frames, *model.image_size, 3), jnp.uint8)
    return Source(records, size, CameraClip.of(config)), {"clips": {"video": video}}


def labelled_source(config: ConfigDict) -> tuple[Source, BatchSpecs]:
    """Clips of every built-in photograph and kind of camera motion for a probe, and their batches.

    Fields: `video`; `label`, the kind's number in KINDS; `held_out`, whether the photograph is one
    that is never trained on.
    """
    records = LabelledClips(pictures.built_in("train"), pictures.built_in("held_out"))
    size = config.train.batch_size
    model = config.model
    video = (size, model.frames, *model.image_size, 3)
    specs = {
        "clips": {
            "video": jax.ShapeDtypeStruct(video, jnp.uint8),
            "label": jax.ShapeDtypeStruct((size,), jnp.int32),
            "held_out": jax.ShapeDtypeStruct((size,), jnp.bool_),
        }
    }
    clip = CameraClip.of(config)

    def transform(record: Mapping[str, Any], rng: np.random.Generator, bucket: str) -> dict:
        motion = str(rng.choice(tuple(KINDS.values())[record["label"]]))
        video = clip.draw(record["picture"], rng, motion)
        return {
            "video": video,
            "label": np.int32(record["label"]),
            "held_out": np.bool_(record["held_out"]),
        }

    return Source(records, size, transform), specs


def video_source(config: ConfigDict) -> Source:
    """Clips of the videos of `data.list`: lines "PATH 0 -1" (a video), or "FOLDER FIRST COUNT"."""
    data, model = config.data, config.model
    if not data.list:
        raise InputError("data.list: expected a list file of videos to pretrain on")
    items = read_unlabelled_list(
        data.list,
        data.root,
        lambda path: by_path(path, TEMPLATES, data.frame_template),
    )
    clips = PretrainingClips(
        model.frames, config.task.stride, tuple(model.image_size), config.task.crops_per_clip
    )
    return Source(VideoRecords(items), config.train.batch_size, clips)


def by_path(path: str, rules: Mapping, otherwise):
    """The rule of the data set that a path belongs to."""
    return next((rule for part, rule in rules.items() if part in path), otherwise)


@dataclass(frozen=True)
class PretrainingClips:
    """`crops_per_clip` random crops of one decoded clip, next to each other in the batch.

    stride: between frames, where the path does not say otherwise.  size: (height, width).
    """

    frames: int
    stride: int
    size: tuple[int, int]
    crops_per_clip: int = 1

    def __post_init__(self):
        if self.stride < 1 or self.crops_per_clip < 1:
            raise InputError(
                f"task.stride={self.stride}, task.crops_per_clip={self.crops_per_clip}; expected "
                "at least 1"
            )

    def __call__(self, item: LabelledVideo, rng: np.random.Generator, bucket: str) -> list[Sample]:
        stride = by_path(str(item.path), STRIDES, self.stride)
        with item.open() as video:
            total = len(video)
            start = int(rng.integers(video_clips.pretraining_starts(total, self.frames, stride)))
            frames = video.frames(video_clips.pretraining_clip(total, self.frames, stride, start))
        return [{"video": self.crop(frames, rng)} for _ in range(self.crops_per_clip)]

    def crop(
        self, frames: UInt8[np.ndarray, "t h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t h2 w2 3"]:
        """One multi-scale crop; no flip and no change of colour in pretraining."""
        height, width = frames.shape[1:3]
        box = multi_scale_box(rng, height, width, self.size[0])
        return pillow_resized_crop(frames, box, self.size)


@dataclass(frozen=True)
class LabelledClips:
    """Every kind of motion over every photograph, `paths` of each; held-out ones last."""

    training: pictures.Pictures
    held_out: pictures.Pictures
    paths: int = 16

    def __len__(self) -> int:
        return (len(self.training) + len(self.held_out)) * len(KINDS) * self.paths

    def __getitem__(self, index: int) -> dict[str, Any]:
        photograph, place = divmod(index, len(KINDS) * self.paths)
        held_out = photograph >= len(self.training)
        chosen = self.held_out if held_out else self.training
        return {
            "picture": chosen[photograph - len(self.training) * held_out],
            "label": place % len(KINDS),
            "held_out": held_out,
        }

    def name(self, index: int) -> str:
        photograph, place = divmod(index, len(KINDS) * self.paths)
        if photograph < len(self.training):
            picture = self.training.name(photograph)
        else:
            picture = self.held_out.name(photograph - len(self.training))
        return f"{picture} ({tuple(KINDS)[place % len(KINDS)]})"
