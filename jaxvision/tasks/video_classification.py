"""Classification of videos: where labelled videos come from, and what is done with their clips.

A recipe has `data` (name, root, train, validation, labels, frame_template, first_frame), the `task`
of `default_settings`, and `model.frames`. `size` is the network's (height, width).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from jaxvision.data import video_list
from jaxvision.data.augment.rand_augment import RandAugment
from jaxvision.data.labels import check_same_names, names_wanted, read_labels
from jaxvision.data.source import Records, Sample, Source
from jaxvision.data.tfds import TfdsVideos
from jaxvision.data.video import SUFFIXES as VIDEO_SUFFIXES
from jaxvision.data.video_clips import (
    FrameSampling,
    MultiViewClips,
    NumberedVideos,
    TrainingClips,
    ValidationClip,
)
from jaxvision.errors import InputError, check_choice
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks import classification, frozen_head, label_prediction
from jaxvision.training.task import Batch, BatchSpecs, Evaluation, Variables
from jaxvision.viz.video import strip

DATA_NAMES = ("files", "tfds")
Size = tuple[int, int]


def default_settings() -> dict[str, Any]:
    """A recipe's `task` table, as the published fine-tunings of VideoMAE and UMT share it."""
    return {
        "name": "classification",
        "sampling": "dense",  # or "segments", "uniform"
        "stride": 4,
        "crops_per_clip": 2,  # augmented crops of each decoded clip
        "flip": True,
        "rand_augment": "rand-m7-n4-mstd0.5-inc1",  # "" = none
        "erase_probability": 0.25,
        "mixup_alpha": 0.8,
        "cutmix_alpha": 1.0,
        "mix_probability": 1.0,
        "mix_switch": 0.5,
        "label_smoothing": 0.1,
        "layer_decay": 0.75,
        "segments": 5,  # of the test's views
        "crops": 3,
        "merge": "prob",  # or "score"
        "test": False,  # evaluate all views, too
        "features": "",  # what predict writes: "" = classes; "thumos14", "fineaction" = features
    }


def default_data() -> dict[str, Any]:
    """A recipe's `data` table for labelled videos of the user's."""
    return {
        "name": "files",  # or "tfds": train and validation are DATASET:SPLIT, in root
        "root": "",  # before every path of the lists
        "train": "",  # a list file, or a folder of class folders
        "validation": "",
        "labels": "",  # class names, one a line; "" = names of the class folders
        "frame_template": "img_{:05}.jpg",
        "first_frame": 1,
    }


def class_names(data: ConfigDict) -> tuple[str, ...]:
    """From the labels file, the tfds dataset, or the folders of the training data."""
    if data.labels:
        return read_labels(data.labels)
    if data.name == "tfds":
        return TfdsVideos.of(data.train, data.root).class_names
    if data.train and not path_to(data.train).exists():
        raise InputError(f"data.train={data.train}: no such folder or list")
    if data.train and path_to(data.train).is_dir():
        return video_list.read_class_folders(data.train).names
    raise names_wanted(data.train, "video", VIDEO_SUFFIXES)


def labelled_videos(data: ConfigDict, split: str, names: Sequence[str]) -> Records:
    """The videos of "train" or "validation": a list file, a folder of folders, or DATASET:SPLIT of
    a tfds dataset prepared in `data.root`."""
    where = data[split]
    check_choice("data.name", data.name, DATA_NAMES)
    if data.name == "tfds":
        videos = TfdsVideos.of(where, data.root)
        if len(videos.class_names) != len(names):
            raise InputError(
                f"data.labels: {len(names)} names for the {len(videos.class_names)} classes of "
                f"data.{split}={where}"
            )
        if not data.labels:
            check_same_names(videos.class_names, names, f"data.{split}={where}")
        return videos
    if not where:
        raise InputError(f"data.{split}: expected a list file or a folder of class folders")
    if path_to(where).is_dir():
        return video_list.read_class_folders(where, names)
    if not path_to(where).exists():
        raise InputError(f"data.{split}={where}: no such folder or list")
    items = video_list.read_list(
        where, len(names), data.root, data.frame_template, data.first_frame
    )
    return video_list.VideoRecords(items, tuple(names))


def sampling(config: ConfigDict) -> FrameSampling:
    """Which frames make a clip."""
    return FrameSampling(config.task.sampling, config.model.frames, config.task.stride)


def training_source(config: ConfigDict, names: Sequence[str], size: Size) -> Source:
    """Augmented clips of the training videos."""
    task = config.task
    policy = RandAugment.parse(task.rand_augment) if task.rand_augment else None
    clips = TrainingClips(sampling(config), size, policy, task.flip, task.crops_per_clip)
    return Source(labelled_videos(config.data, "train", names), config.train.batch_size, clips)


def training_specs(config: ConfigDict, size: Size) -> BatchSpecs:
    """Of a training step: `video` and `label`."""
    fields = _fields(config, classification.rows(config), size)
    return {"clips": {name: fields[name] for name in ("video", "label")}}


def _fields(config: ConfigDict, count: int, size: Size) -> dict[str, jax.ShapeDtypeStruct]:
    number = jax.ShapeDtypeStruct((count,), jnp.int32)
    video = jax.ShapeDtypeStruct((count, config.model.frames, *size, 3), jnp.uint8)
    return {"video": video, "label": number, "number": number, "view": number}


def evaluations(
    config: ConfigDict,
    names: Sequence[str],
    size: Size,
    logits: Callable[[Variables, Batch], Float[Array, "b classes"]],
) -> dict[str, Evaluation]:
    """`validation`: one clip of each video; with `task.test`, `test`: segments x crops."""
    if not config.data.validation:
        return {}
    task, batch = config.task, config.train.batch_size
    videos, frames = labelled_videos(config.data, "validation", names), sampling(config)
    found = {
        "validation": classification.evaluation(
            Source(NumberedVideos(videos), batch, ValidationClip(frames, size)),
            {"clips": _fields(config, batch, size)},
            logits,
            names,
        )
    }
    if task.test:
        views = MultiViewClips(frames, size[0], task.segments, task.crops)
        found["test"] = classification.evaluation(
            Source(NumberedVideos(videos, task.segments), batch, views),
            {"views": _fields(config, batch * task.crops, (size[0], size[0]))},
            logits,
            names,
            merge=task.merge,
        )
    return found


@dataclass(frozen=True)
class VideoViews:
    """Views of a video for a frozen encoder: the clip that a validation sees, and any number of
    training clips, which are drawn."""

    sampling: FrameSampling
    size: Size
    flip: bool

    def __call__(self, item: Any, view: int, rng: np.random.Generator) -> Sample:
        if view == 0:
            return ValidationClip(self.sampling, self.size)((0, item))
        return TrainingClips(self.sampling, self.size, None, self.flip)(item, rng, "")[0]


def shown(config: ConfigDict, names: Sequence[str], size: Size) -> frozen_head.Shown:
    """The labelled videos as a frozen encoder is shown them."""
    return frozen_head.Shown(
        records=lambda split: labelled_videos(config.data, split, names),
        labels=lambda videos: [videos[number].label for number in range(len(videos))],
        show=VideoViews(sampling(config), size, config.task.flip),
        validation=bool(config.data.validation),
    )


def predict_files(
    probabilities: Callable[[UInt8[np.ndarray, "views t h w 3"]], Float[Array, "views classes"]],
    views: MultiViewClips,
    names: Sequence[str],
    paths: Sequence[Path],
    outdir: Path,
) -> list[Path]:
    """See `label_prediction.predict_files`: the mean over each video's segments x crops, and frames
    of its first view."""

    def answer(path: Path) -> label_prediction.Answer:
        clips = views.of_file(path)
        scores = np.mean(jax.device_get(probabilities(clips)), axis=0)
        return scores, lambda label: strip({label: clips[0]})

    return label_prediction.predict_files(answer, names, paths, outdir)


def picture(
    batch: Mapping, outputs: Mapping, names: Sequence[str], clips: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """The first clips of a batch, each row named by its label and the likeliest class."""
    drawn = []
    for clip in range(min(clips, len(batch["label"]))):
        label = names[int(batch["label"][clip])]
        guess = names[int(np.argmax(outputs["probabilities"][clip]))]
        drawn.append(strip({f"{label}: {guess}": np.asarray(batch["video"][clip])}))
    return np.concatenate(drawn, axis=0)
