"""Labelled pictures: folders of classes, TensorFlow Datasets (ImageNet), handwritten digits."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxvision.data.folders import classes_in, classes_text, files_by_class
from jaxvision.data.labels import names_wanted, naming, read_labels, unquoted
from jaxvision.data.picture_files import SUFFIXES, read_picture
from jaxvision.data.source import FileRecords
from jaxvision.data.tfds import TfdsRecords
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to
from jaxvision.text_files import integer, read_lines

# Every fifth digit is held out.
DIGITS_HELD_OUT = 5
DIGITS_SCALE = 255 / 16


@dataclass(frozen=True)
class PictureFiles(FileRecords):
    """Records {"picture": RGB, "label": class number} of picture files."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...] = ()  # of the classes
    skipped: Mapping[str, int] = field(default_factory=dict)  # files beside them, by kind

    def summary(self) -> str:
        """Pictures of each class, and what was skipped."""
        return classes_text(self.labels, self.names, "pictures", self.skipped)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"picture": read_picture(self.paths[index]), "label": self.labels[index]}


def class_names(root: str | Path) -> tuple[str, ...]:
    """The class folders of `root`, sorted by name, as ImageNet's are numbered."""
    folder = path_to(root)
    names = classes_in(folder) if folder.is_dir() else ()
    if not names:
        raise InputError(f"{root}: expected a folder of class folders")
    return names


def names_of(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a config's `data`: those of its labels file, else of the class folders of `train`, below
    `root`. InputError says what is lacking."""
    if data["labels"]:
        return read_labels(data["labels"])
    where = path_to(data["root"]) / data["train"]
    if data["train"] and not where.exists():
        raise InputError(f"data.train: {where}: no such folder or list")
    if not data["train"] or not where.is_dir():
        raise names_wanted(data["train"], "picture", SUFFIXES)
    return class_names(where)


def names_from(data: Mapping[str, Any]) -> str:
    """What `names_of` has them from, for messages."""
    if data["labels"] or not isinstance(data["train"], str) or not data["train"]:
        return naming(data, "labels", "name")
    return f"the data (data.train: {path_to(data['root']) / data['train']})"


def picture_folder(root: str | Path, classes: Sequence[str]) -> PictureFiles:
    """root/<class>/<picture>; a class's number is its place in `classes`.

    Hidden files and other kinds are skipped and counted. InputError names a folder that is no
    class, and a class without pictures.
    """
    class_names(root)  # there are some
    number = {name: i for i, name in enumerate(classes)}
    found, skipped = files_by_class(path_to(root), tuple(classes), SUFFIXES, "pictures")
    labelled = [(path, number[name]) for name, files in found.items() for path in files]
    paths, labels = zip(*labelled, strict=True)
    return PictureFiles(paths, labels, tuple(classes), skipped)


def picture_list(file: str | Path, classes: int) -> PictureFiles:
    """Lines "relative/path<TAB>label", paths beside the file (the Swin layout's maps).

    InputError names a line that is not so, or whose label is not below `classes`.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for number, line in enumerate(read_lines(file), 1):
        if not line.strip():
            continue
        path, _, last = (unquoted(word) for word in unquoted(line).rpartition("\t"))
        label = integer(last)
        if not path or label is None:
            raise InputError(f"{file}:{number}: {line!r}: expected a path, a tab and a label")
        if not 0 <= label < classes:
            raise InputError(f"{file}:{number}: label {label}: expected 0 to {classes - 1}")
        paths.append(path_to(file).parent / path)
        labels.append(label)
    if not paths:
        raise InputError(f"{file}: lists no pictures")
    return PictureFiles(tuple(paths), tuple(labels))


@dataclass(frozen=True)
class TfdsPictures:
    """The features `image` and `label` of a dataset prepared as ArrayRecord files."""

    records: TfdsRecords

    @property
    def classes(self) -> tuple[str, ...]:
        return self.records.class_names("label")

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.records[index]
        picture = Image.fromarray(np.asarray(record["image"])).convert("RGB")
        return {"picture": picture, "label": int(record["label"])}

    def name(self, index: int) -> str:
        return self.records.name(index)


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 8 x 8 handwritten digits as grey pictures; every fifth one is held out."""

    split: str

    @functools.cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        held_out = np.arange(len(digits.target)) % DIGITS_HELD_OUT == 0
        mine = held_out if self.split == "validation" else ~held_out
        pixels = np.rint(digits.images[mine] * DIGITS_SCALE).astype(np.uint8)
        return np.repeat(pixels[..., None], 3, axis=-1), digits.target[mine]

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(self._arrays[1].tolist())

    def __len__(self) -> int:
        return len(self._arrays[1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        pictures, labels = self._arrays
        return {"picture": Image.fromarray(pictures[index]), "label": int(labels[index])}

    def name(self, index: int) -> str:
        return f"digits/{self.split}:{index}"
