"""What a data source is: records by number, and how a record becomes samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Record = Any
Sample = Mapping[str, Any]


class Records(Protocol):
    """Random access to raw records. Reading one may fail: the loader replaces and counts it.

    Records of listed files may have `files()`, their paths: an evaluation looks for them first; and
    `summary()`, a line about them: a run says it at its start.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...

    def name(self, index: int) -> str:
        """What a person would call record `index` (a file's path)."""
        ...


class FileRecords:
    """What records of listed files have in common: `paths`, a file a record, or several of which
    the first one names it."""

    paths: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return str(_first(self.paths[index]))

    def files(self) -> list[Path]:
        return [_first(entry) for entry in self.paths]


def _first(entry: Path | tuple[Path, ...]) -> Path:
    return entry[0] if isinstance(entry, tuple) else entry


def stack(samples: Sequence[Sample], bucket: str) -> dict[str, np.ndarray]:
    """Samples of equal shapes -> one batch with a leading axis."""
    return {key: np.stack([np.asarray(s[key]) for s in samples]) for key in samples[0]}


def keep(record: Record, rng: np.random.Generator, bucket: str) -> Sample:
    """The transform that changes nothing."""
    return record


@dataclass(frozen=True)
class Repeated:
    """`records` over and over, `count` in all: one epoch sees each under many draws."""

    records: Records
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Record:
        return self.records[index % len(self.records)]

    def name(self, index: int) -> str:
        return self.records.name(index % len(self.records))


@dataclass(frozen=True)
class RecordSubset:
    """The records called `numbers` of a longer list, in that order; one may come several times."""

    records: Records
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Record:
        return self.records[int(self.numbers[index])]

    def name(self, index: int) -> str:
        return self.records.name(int(self.numbers[index]))


@dataclass(frozen=True)
class Source:
    """Records, how many a step takes over all hosts, and their host side.

    transform(record, rng, bucket): a sample, or a list of samples (several crops of one clip);
        `rng` is a function of the seed and the record's place in the run.
    collate(samples, bucket): this host's samples -> its part of the batch; packing into shards of
        fixed capacity happens here.
    record_repeats: each record comes this many times in a row, and an epoch still has as many rows
        as there are records (repeated augmentation, 1902.05509).
    interleave_groups: the rows of a step go in turn to this many equal parts of the batch, as
        samplers give them to processes, so that a record's repeats lie in different parts.
    """

    records: Records
    batch_size: int
    transform: Callable[[Record, np.random.Generator, str], Sample | list[Sample]] = keep
    _: KW_ONLY
    collate: Callable[[Sequence[Sample], str], Mapping[str, np.ndarray]] = stack
    record_repeats: int = 1
    interleave_groups: int = 1
