"""What a frozen network answered to views of files: an array a file, found again by what made it.

FOLDER/<weights and settings>/about.json   what the features are of
FOLDER/<weights and settings>/<view>.npz   of one view of one record: `features`, and the archive's
                                           own checksum

Both names are digests: other weights, views or files have other names, so that nothing stale is
ever read, and trainings that agree share what is there.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxvision.data.arrays import read_arrays
from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.file_state import state_of
from jaxvision.data.source import Records, Sample
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to

# Half a float32's bytes, and what a network rounds to inside is as coarse.
DTYPE = np.dtype(np.float16)
NAME = "features"


def digest_of(value: Any) -> str:
    """A short name for plain values."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class FeatureFiles:
    """The features of one network, and how it was shown things.

    about: all they depend on but the files, plain values.  shape: of one view's.
    """

    root: Path
    about: Mapping[str, Any]
    shape: tuple[int, ...]

    @property
    def folder(self) -> Path:
        return self.root / digest_of(self.about)

    def path(self, record: str, view: int) -> Path:
        """Where those of a record's view are.  record: its name, a file's path where it is one: the
        file's size and time count, or those of the files in the folder that holds it."""
        named = path_to(record)
        there = (p for p in (named, *named.parents) if p != Path() and p.exists())
        found = next(there, None)
        state = [] if found is None else state_of(found)
        where = str(named.absolute()) if state else record
        return self.folder / f"{digest_of([where, state, view])}.npz"

    def begin(self) -> None:
        """Make the folder and say in it what it is. InputError where it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / "about.json") as temporary:
                Path(temporary).write_text(json.dumps(self.about, indent=1, default=str) + "\n")
        except OSError as error:
            raise InputError(f"data.features={self.root}: {error.strerror}") from error

    def write(self, path: Path, features: Float[np.ndarray, "n d"]) -> None:
        """InputError for values that the file's numbers cannot hold."""
        with np.errstate(over="ignore"):
            rounded = np.asarray(features).astype(DTYPE)
        if not np.isfinite(rounded).all():
            most = float(np.max(np.abs(features)))
            raise InputError(
                f"features of up to {most:.3g}: expected finite ones up to "
                f"{np.finfo(DTYPE).max:.0f}; train from pixels, with --config.data.features="
            )
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, features=rounded)

    def read(self, path: Path) -> Float[np.ndarray, "n d"]:
        """InputError for a file that is not there, damaged, or not of this shape."""
        features = read_arrays(path).get(NAME)
        if features is None or features.shape != self.shape or features.dtype != DTYPE:
            raise InputError(f"{path}: expected {NAME} {self.shape} of {DTYPE}")
        return features

    def damage(self, path: Path) -> str | None:
        """Why a file that is there cannot be read, "" for one that is not there; None for a good
        one."""
        if not path.is_file():
            return ""
        try:
            self.read(path)
        except InputError as error:
            return str(error)
        return None


class StoredRecord(NamedTuple):
    """paths: of the features of each view."""

    number: int
    label: int
    store: FeatureFiles
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class StoredFeatures:
    """Records of features in place of what they were made of.

    records: those they were made of.  paths: of each record's views.  lacking: why those that are
    not there could not be made.
    """

    records: Records
    labels: Sequence[int]
    store: FeatureFiles
    paths: Sequence[tuple[Path, ...]]
    lacking: Mapping[Path, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> StoredRecord:
        """InputError where one of its views could not be read."""
        for path in self.paths[index]:
            if path in self.lacking:
                raise InputError(self.lacking[path])
        return StoredRecord(index, int(self.labels[index]), self.store, self.paths[index])

    def name(self, index: int) -> str:
        return self.records.name(index)

    def summary(self) -> str:
        return getattr(self.records, "summary", lambda: f"{len(self)} records")()


def any_view(record: StoredRecord, rng: np.random.Generator, bucket: str) -> Sample:
    """The features of one of a record's views, to train on."""
    path = record.paths[int(rng.integers(len(record.paths)))]
    return {NAME: record.store.read(path), "label": np.int32(record.label)}


def first_view(record: StoredRecord, rng: np.random.Generator, bucket: str) -> Sample:
    """Those of the view that an evaluation sees."""
    return {
        NAME: record.store.read(record.paths[0]),
        "label": np.int32(record.label),
        "number": np.int32(record.number),
        "view": np.int32(0),
    }
