"""Datasets that TensorFlow Datasets prepared as ArrayRecord files, read without TensorFlow.

tfds build DATASET --file_format=array_record --data_dir=DIR
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxvision.data.frame_sequence import EncodedFrames
from jaxvision.errors import InputError


@dataclass(frozen=True)
class TfdsRecords:
    """The examples of a prepared dataset, as nested dictionaries of NumPy values.

    dataset: name, or name/config, or name/config:version.  split: in tfds's words, "train[:90%]".
    data_dir: where it was prepared ("" for tfds's own folder).
    undecoded: features of pictures, or of sequences of them, that stay bytes.
    InputError where it is not there, has no such split, or has features that need TensorFlow
    (tfds.features.Video among them) while that is not installed.
    """

    dataset: str
    split: str
    data_dir: str = ""
    undecoded: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self._source[index]

    def name(self, index: int) -> str:
        return f"{self.dataset} {self.split} {index}"

    @property
    def features(self) -> Mapping[str, Any]:
        """tfds's description of each feature."""
        return self._source.dataset_info.features

    def class_names(self, feature: str) -> tuple[str, ...]:
        """Of a `ClassLabel` feature. InputError where it is none."""
        names = getattr(dict(self.features).get(feature), "names", None)
        if not names:
            raise InputError(f"{self.dataset}: no classes are named by a feature {feature!r}")
        return tuple(names)

    @property
    def _source(self) -> Any:
        # Not kept here, so that the records travel to worker processes as four words.
        return _open(self.dataset, self.split, self.data_dir, self.undecoded)


@functools.lru_cache(maxsize=32)
def _open(dataset: str, split: str, data_dir: str, undecoded: tuple[str, ...]) -> Any:
    # Seconds to import, and only those pay who use it.
    import tensorflow_datasets as tfds

    class Undecoded(tfds.decode.Decoder):
        """Leaves encoded pictures as they are."""

        def decode_example(self, serialized_example: Any) -> Any:
            return serialized_example

        def decode_batch_example_np(self, serialized_example: Any) -> Any:
            return serialized_example

    try:
        return tfds.data_source(
            dataset,
            split=split,
            data_dir=data_dir or None,
            download=False,
            decoders={name: Undecoded() for name in undecoded} or None,
        )
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"tfds dataset {dataset!r}, split {split!r}, in {data_dir or 'the default folder'}: "
            f"{reason}"
        ) from error


@dataclass(frozen=True)
class TfdsVideo:
    """A labelled video of a dataset, its frames not decoded yet."""

    path: Path
    label: int
    pictures: tuple[bytes, ...]

    def open(self) -> EncodedFrames:
        """The video's frames, to be used as a context manager."""
        return EncodedFrames(self.pictures, str(self.path))


@dataclass(frozen=True)
class TfdsVideos:
    """Labelled videos of a dataset with the features `video` (a sequence of pictures) and `label`,
    as the loader wants them."""

    records: TfdsRecords

    @classmethod
    def of(cls, where: str, data_dir: str) -> "TfdsVideos":
        """From "DATASET:SPLIT", e.g. "ucf101/ucf101_1:train[:90%]"."""
        # A version ("name:1.0.0") and a slice hold colons too, but no letter after them.
        found = re.fullmatch(r"(.+?):([A-Za-z_].*)", where)
        if found is None:
            raise InputError(f"{where!r}: expected DATASET:SPLIT, e.g. 'ucf101:train[:90%]'")
        dataset, split = found.groups()
        records = TfdsRecords(dataset, split, data_dir, ("video",))
        missing = {"video", "label"} - set(records.features)
        if missing:
            raise InputError(f"{dataset}: no feature {sorted(missing)[0]!r}")
        return cls(records)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.records.class_names("label")

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> TfdsVideo:
        example = self.records[index]
        return TfdsVideo(Path(self.name(index)), int(example["label"]), tuple(example["video"]))

    def name(self, index: int) -> str:
        return self.records.name(index)
