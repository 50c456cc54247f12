"""From labelled pictures to what the network sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict
from PIL import Image

from jaxvision.data import labelled_pictures
from jaxvision.data.augment.rand_augment import RandAugment
from jaxvision.data.crops import centre_box, resized_crop_box, short_side_size
from jaxvision.data.labelled_pictures import Digits, PictureFiles, TfdsPictures
from jaxvision.data.source import Records, Sample
from jaxvision.data.tfds import TfdsRecords
from jaxvision.errors import InputError, check_choice
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks import frozen_head

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
DATASETS = ("folder", "tfds", "digits")


def evaluation_picture(
    picture: Image.Image, size: int, short_side: int, resampling: str = "bicubic"
) -> UInt8[np.ndarray, "size size 3"]:
    """Short side to `short_side` (Pillow's antialiased filter), then a centre crop of `size`."""
    height, width = short_side_size(picture.height, picture.width, short_side)
    resized = picture.resize((width, height), FILTERS[resampling])
    return centre_box(height, width, (size, size)).cut(np.asarray(resized)[None])[0]


@dataclass(frozen=True)
class TrainingPicture:
    """A random resized crop, a flip, RandAugment."""

    size: int
    scale: tuple[float, float]
    flip: float
    policy: RandAugment | None

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator, bucket: str) -> Sample:
        return {"picture": self._draw(record["picture"], rng), "label": np.int32(record["label"])}

    def _draw(self, picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
        box = resized_crop_box(rng, picture.height, picture.width, self.scale)
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)
        crop = picture.resize((self.size, self.size), FILTERS["bicubic"], edges)
        pixels = np.asarray(crop)
        if rng.random() < self.flip:
            pixels = pixels[:, ::-1]
        if self.policy is not None:
            pixels = self.policy(np.ascontiguousarray(pixels)[None], rng)[0]
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True)
class EvaluationPicture:
    """See `evaluation_picture`."""

    size: int
    short_side: int
    resampling: str

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator, bucket: str) -> Sample:
        pixels = evaluation_picture(record["picture"], self.size, self.short_side, self.resampling)
        return {"picture": pixels, "label": np.int32(record["label"])}


def records_of(config: ConfigDict, split: str, names: Sequence[str]) -> Records:
    """The labelled pictures of "train" or "validation" that a recipe names.  names: of the classes,
    in order."""
    data = config.data
    check_choice("data.name", data.name, DATASETS)
    if data.name == "digits":
        return Digits(split)
    if data.name == "tfds":
        return TfdsPictures(TfdsRecords(data.dataset, split, data.root))
    if not data[split]:
        raise InputError(f"data.{split}: expected a folder of class folders, or a list file")
    where = path_to(data.root) / data[split]
    if where.is_dir():
        return labelled_pictures.picture_folder(where, names)
    if not where.is_file():
        raise InputError(f"{where}: no such folder or list (data.{split})")
    return labelled_pictures.picture_list(where, len(names))


@dataclass(frozen=True)
class PictureViews:
    """Views of a picture for a frozen network: the crop that a validation sees, and any number of
    training crops, which are drawn."""

    evaluation: EvaluationPicture
    training: TrainingPicture

    def __call__(self, record: Mapping[str, Any], view: int, rng: np.random.Generator) -> Sample:
        return (self.training if view else self.evaluation)(record, rng, "")


def labels_of(records: Records) -> Sequence[int]:
    """Of pictures in files, or of the built-in ones."""
    assert isinstance(records, PictureFiles | Digits)
    return records.labels


def shown(config: ConfigDict, names: Sequence[str]) -> frozen_head.Shown:
    """The labelled pictures as a frozen network is shown them. InputError for tfds, whose records
    are no files."""
    data, task = config.data, config.task
    if data.name == "tfds":
        raise InputError(
            "data.name='tfds': features are kept of files; expected folder or digits, or training "
            "from pixels (--config.data.features=)"
        )
    return frozen_head.Shown(
        records=lambda split: records_of(config, split, names),
        labels=labels_of,
        show=PictureViews(
            EvaluationPicture(data.size, data.short_side, data.resampling),
            TrainingPicture(data.size, tuple(task.scale), task.flip, None),
        ),
        validation=data.name == "digits" or bool(data.validation),
    )


def class_names(config: ConfigDict) -> tuple[str, ...]:
    """The names of the classes, in order: a labels file's, else the training folders'."""
    data = config.data
    check_choice("data.name", data.name, DATASETS)
    if data.name == "digits":
        return tuple("0123456789")
    if data.name == "tfds" and data.train:
        raise InputError(
            f"data.train={data.train}: data.name is 'tfds', which reads data.dataset="
            f"{data.dataset}; expected data.name=folder for folders and lists of one's own"
        )
    if data.name == "tfds" and not data.labels:
        return TfdsPictures(TfdsRecords(data.dataset, "train", data.root)).classes
    return labelled_pictures.names_of(data)
