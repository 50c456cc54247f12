"""From unlabelled videos to pretraining clips: the lists and rules of UnlabeledHybrid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict
from PIL import Image

from jaxvision.data import clip_sampling
from jaxvision.data.crops import multi_scale_box
from jaxvision.data.source import Sample, Source
from jaxvision.data.video_list import LabelledVideo, VideoRecords, read_unlabelled_list
from jaxvision.errors import InputError
from jaxvision.methods.videomae.inputs import crop_and_resize

# The published loader tells data sets apart by a part of the path: another stride, or other names
# of picture files.
STRIDES = {"SomethingV2": 2}
TEMPLATES = {"SomethingV2": "img_{:05}.jpg", "AVA2.2": "image_{:06}.jpg"}


def by_path(path: str, rules: Mapping, otherwise):
    """The rule of the data set that a path belongs to."""
    return next((rule for part, rule in rules.items() if part in path), otherwise)


@dataclass(frozen=True)
class PretrainingClips:
    """`repeats` random crops of one decoded clip, next to each other in the batch.

    stride: between frames, where the path does not say otherwise.  size: (height, width).
    """

    frames: int
    stride: int
    size: tuple[int, int]
    repeats: int = 1

    def __call__(self, item: LabelledVideo, rng: np.random.Generator, bucket: str) -> list[Sample]:
        stride = by_path(str(item.path), STRIDES, self.stride)
        with item.open() as video:
            total = len(video)
            start = int(rng.integers(clip_sampling.pretraining_starts(total, self.frames, stride)))
            frames = video.frames(clip_sampling.pretraining_clip(total, self.frames, stride, start))
        return [{"video": self.crop(frames, rng)} for _ in range(self.repeats)]

    def crop(
        self, frames: UInt8[np.ndarray, "t h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t h2 w2 3"]:
        """One multi-scale crop; no flip and no change of colour in pretraining."""
        height, width = frames.shape[1:3]
        box = multi_scale_box(rng, height, width, self.size[0])
        corners = (box.left, box.top, box.left + box.width, box.top + box.height)
        return np.stack(
            [crop_and_resize(Image.fromarray(frame), corners, self.size) for frame in frames]
        )


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
        model.frames, config.task.stride, tuple(model.image_size), config.task.repeats
    )
    return Source(VideoRecords(items), config.train.batch_size, clips)
