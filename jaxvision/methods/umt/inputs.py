"""From records to clips: videos to pretrain on, photographs under a moving camera, made-up shapes.

Fine-tuning's clips are `jaxvision.tasks.video_classification`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from jaxvision.data import pictures, video_clips
from jaxvision.data.camera_clips import CameraClip
from jaxvision.data.crops import multi_scale_box
from jaxvision.data.resize import pillow_resized_crop
from jaxvision.data.source import Repeated, Sample, Source
from jaxvision.data.video_list import LabelledVideo, VideoRecords, read_list
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.umt import made_clips

DATASETS = ("camera", "videos", made_clips.NAME)


def pretraining_source(config: ConfigDict, split: str) -> Source:
    """Clips (`video`, uint8 [t, h, w, 3]) to pretrain on. InputError for an unknown `data.name`, or
    a list that is missing."""
    data, batch = config.data, config.train.batch_size
    check_choice("data.name", data.name, DATASETS)
    if data.name == made_clips.NAME:
        return made_clips.clip_source(config)
    if data.name == "camera":
        found = pictures.folder(data.root) if data.root else pictures.built_in(split)
        return Source(Repeated(found, data.clips), batch, CameraClip.of(config))
    if not data.list:
        raise InputError("data.list: expected a list file of videos to pretrain on")
    items = read_list(data.list, None, data.root, data.frame_template, data.first_frame)
    clips = SparseClips(config.model.frames, tuple(config.model.image_size), config.task.flip)
    return Source(VideoRecords(items), batch, clips)


@dataclass(frozen=True)
class SparseClips:
    """One frame of each of equal parts of a video, one multi-scale crop, half of them mirrored.

    size: (height, width).  A video of fewer frames gives its first one again and again.
    """

    frames: int
    size: tuple[int, int]
    flip: bool = True

    def __call__(self, item: LabelledVideo, rng: np.random.Generator, bucket: str) -> Sample:
        frames = video_clips.read_frames(item, lambda total: self.numbers(total, rng))
        return {"video": self.crop(frames, rng)}

    def numbers(self, total: int, rng: np.random.Generator) -> video_clips.Frames:
        """Which frames of `total`."""
        length = total // self.frames
        if length == 0:
            return np.zeros(self.frames, np.int64)
        return video_clips.segment_clip(total, self.frames, rng.integers(length, size=self.frames))

    def crop(
        self, frames: UInt8[np.ndarray, "t h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t h2 w2 3"]:
        height, width = frames.shape[1:3]
        box = multi_scale_box(rng, height, width, self.size[0])
        clip = pillow_resized_crop(frames, box, self.size)
        mirrored = self.flip and rng.random() < 0.5
        return np.ascontiguousarray(clip[:, :, ::-1]) if mirrored else clip
