"""Batches as a function of the step: the same for any number of workers, hosts and restarts.

The data position is the global step alone. Step s of a source takes the records at places
s*B .. (s+1)*B - 1 of a fixed order (each epoch a fresh shuffle, its remainder dropped); a host
loads the places its devices need. Grain runs the reading ahead, in threads or worker processes.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grain.python as grain
import numpy as np
from absl import flags
from grain.experimental import index_shuffle

from jaxvision.data.conversions import Note, collecting
from jaxvision.data.source import Sample, Source
from jaxvision.data.timeout import Stalled, with_timeout
from jaxvision.data.worker import end_with_parent
from jaxvision.errors import InputError, one_line

MAX_REPLACEMENTS = 8


@dataclass(frozen=True)
class HostBatch:
    """One host's part of a step.

    arrays: {field: [local rows, ...]}.  names: of the records in it.
    replaced: (name, reason) of each record that could not be read.
    converted: what readers changed or left out of the others, by record.
    """

    bucket: str
    arrays: dict[str, np.ndarray]
    names: list[str]
    replaced: list[tuple[str, str]]
    converted: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class Schedule:
    """Which bucket each step takes, and which of its source's steps that is."""

    buckets: tuple[str, ...]
    by_step: np.ndarray  # int16 [steps]: position in `buckets`
    ordinal: np.ndarray  # int32 [steps]: how many earlier steps drew from the same source

    @classmethod
    def single(cls, bucket: str, steps: int) -> "Schedule":
        return cls((bucket,), np.zeros(steps, np.int16), np.arange(steps, dtype=np.int32))

    @classmethod
    def of(
        cls, buckets_of: Callable[[int], Sequence[str]], sources: Mapping[str, Source], steps: int
    ) -> "Schedule":
        """From `buckets_of(steps)`, the bucket of each step; buckets that share a source share its
        order of records."""
        buckets = tuple(sorted(sources))
        if len(buckets) == 1:
            return cls.single(buckets[0], steps)
        places = {bucket: place for place, bucket in enumerate(buckets)}
        by_step = np.array([places[bucket] for bucket in buckets_of(steps)], np.int16)
        ordinal = np.zeros(steps, np.int32)
        for source in {id(s): s for s in sources.values()}.values():
            mine = [i for i, b in enumerate(buckets) if sources[b] is source]
            steps_of_source = np.flatnonzero(np.isin(by_step, mine))
            ordinal[steps_of_source] = np.arange(len(steps_of_source))
        return cls(buckets, by_step, ordinal)


def permuted_bucket(step: int, batches: Mapping[str, int], seed: int) -> str:
    """The bucket of `step` where an epoch is one permutation of all buckets' batches.

    batches: {bucket: batches an epoch}. A function of the global step alone, as `Task.bucket` must
    be: a resumed run goes on in the middle of its epoch's permutation.
    """
    epoch, place = divmod(step, sum(batches.values()))
    names = tuple(sorted(batches))
    return names[_permutation(tuple(batches[name] for name in names), seed, epoch)[place]]


@functools.lru_cache(maxsize=4)
def _permutation(counts: tuple[int, ...], seed: int, epoch: int) -> np.ndarray:
    """Every number i `counts[i]` times, in the order of an epoch."""
    return np.random.default_rng((seed, 13, epoch)).permutation(
        np.repeat(np.arange(len(counts)), counts)
    )


@dataclass(frozen=True)
class TrainingBatches:
    """Random access to a host's training batches by step (a Grain data source).

    shares: the parts of the global batch this host loads, as fractions (start, stop) of it.
    """

    sources: Mapping[str, Source]
    schedule: Schedule
    seed: int
    shares: tuple[tuple[float, float], ...] = ((0.0, 1.0),)

    def __post_init__(self):
        for bucket, source in self.sources.items():
            if source.batch_size % source.interleave_groups:
                raise InputError(
                    f"data for {bucket!r}: a batch of {source.batch_size} does not divide "
                    f"into {source.interleave_groups} groups to interleave"
                )
            if len(source.records) < source.batch_size:
                raise InputError(
                    f"data for {bucket!r}: {len(source.records)} records are fewer than one batch "
                    f"of {source.batch_size}; expected more of them, or a train.batch_size of at "
                    f"most {len(source.records)}"
                )

    def __len__(self) -> int:
        return len(self.schedule.by_step)

    def __getitem__(self, step: int) -> HostBatch:
        end_with_parent()
        bucket = self.schedule.buckets[self.schedule.by_step[step]]
        source = self.sources[bucket]
        samples: list[Sample] = []
        names: list[str] = []
        replaced: list[tuple[str, str]] = []
        converted: list[Note] = []
        for place, index in self._places(step):
            with collecting() as notes:
                made, index = self._sample(source, bucket, place, index, replaced)
            names.append(source.records.name(index))
            if notes:
                converted += of_record(names[-1], notes)
            samples += made
        arrays = dict(source.collate(samples, bucket))
        return HostBatch(bucket, arrays, names, replaced, converted)

    def names(self, step: int) -> list[str]:
        """Names of the records that a step is to read, which are not read here."""
        records = self.sources[self.schedule.buckets[self.schedule.by_step[step]]].records
        return [records.name(index) for _, index in self._places(step)]

    def _places(self, step: int) -> Iterator[tuple[int, int]]:
        """(place in the endless order of samples, number of the record) of this host's rows."""
        bucket = self.schedule.buckets[self.schedule.by_step[step]]
        source = self.sources[bucket]
        # 1. Which batch of which epoch of its source the step is.
        count, size = len(source.records), source.batch_size
        epoch, slot = divmod(int(self.schedule.ordinal[step]), count // size)
        # 2. The rows of that batch that this host loads, and the records the epoch has there.
        for start, stop in self.shares:
            for row in range(round(start * size), round(stop * size)):
                row += slot * size
                yield (
                    epoch * count + row,
                    shuffled(epoch_position(row, source), count, self.seed + epoch),
                )

    def _sample(
        self, source: Source, bucket: str, place: int, index: int, replaced: list
    ) -> tuple[list[Sample], int]:
        """The samples of a record, or of the one at hash(seed, index) where it cannot be read, and
        so on, whatever it raised: damaged files make decoders raise anything.

        Many in a row that fail in the transform, and not for want of input, are an error of ours:
        the last is raised as it is.
        """
        for attempt in range(MAX_REPLACEMENTS):
            # 1. Read and transform; draws depend on the place in the run, not on the attempt.
            rng = np.random.default_rng((self.seed, place, index))
            read = False
            try:
                record = source.records[index]
                read = True
                return as_list(source.transform(record, rng, bucket)), index
            except Exception as error:
                failure = error
            # 2. Note why not, and go on with the record that the hash names, on every host alike.
            replaced.append((source.records.name(index), reason_of(failure)))
            digest = hashlib.blake2b(f"{self.seed}/{index}/{attempt}".encode(), digest_size=8)
            index = int.from_bytes(digest.digest(), "big") % len(source.records)
        if read and not isinstance(failure, InputError | OSError):
            raise failure
        name, reason = replaced[-1]
        raise InputError(
            f"{MAX_REPLACEMENTS} records in a row cannot be read; last {name}: {reason}"
        ) from failure


@dataclass(frozen=True)
class EvaluationBatches:
    """A source read once in order; the last batch is padded with its first record, not valid.

    incomplete: a record that cannot be read is named in the batch's `replaced`, and its place
        padded, too; else it is refused.
    """

    source: Source
    bucket: str
    shares: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    incomplete: bool = False

    def __len__(self) -> int:
        return -(-len(self.source.records) // self.source.batch_size)

    def __getitem__(self, step: int) -> HostBatch:
        end_with_parent()
        source, size = self.source, self.source.batch_size
        samples: list[Sample] = []
        names: list[str] = []
        unreadable: list[tuple[str, str]] = []
        converted: list[Note] = []
        for start, stop in self.shares:
            for row in range(round(start * size), round(stop * size)):
                index = step * size + row
                valid = index < len(source.records)
                name = source.records.name(index if valid else 0)
                try:
                    with collecting() as notes:
                        made = self._samples(index if valid else 0, index)
                    converted += of_record(name, notes)
                except Exception as error:
                    if not self.incomplete:
                        reason = reason_of(error).removeprefix(f"{name}: ")
                        raise InputError(
                            f"{name}: {reason}; mend or remove it, or allow some with "
                            "--config.evaluate.max_unreadable"
                        ) from error
                    if valid:
                        unreadable.append((name, reason_of(error)))
                    made, valid = self._padding(), False
                for sample in made:
                    samples.append({**sample, "valid": valid, "index": np.int32(index)})
                names.append(name)
        arrays = dict(source.collate(samples, self.bucket))
        return HostBatch(self.bucket, arrays, names, unreadable, converted)

    def _samples(self, index: int, seed: int) -> list[Sample]:
        rng = np.random.default_rng((0, seed))
        return as_list(self.source.transform(self.source.records[index], rng, self.bucket))

    def _padding(self) -> list[Sample]:
        """The samples of the first record that can be read."""
        for index in range(len(self.source.records)):
            with contextlib.suppress(Exception):
                return self._samples(index, index)
        raise InputError(f"none of the {len(self.source.records)} records can be read")

    def names(self, step: int) -> list[str]:
        """Names of the records that a batch is to read, which are not read here."""
        records, size = self.source.records, self.source.batch_size
        rows = (
            step * size + row
            for start, stop in self.shares
            for row in range(round(start * size), round(stop * size))
        )
        return [records.name(row) for row in rows if row < len(records)]


def shuffled(place: int, count: int, seed: int) -> int:
    """The number at `place` of a permutation of 0 .. count - 1: the one of Grain's `shuffle`, whose
    own way to it costs twice as much."""
    return index_shuffle(place, max_index=count - 1, seed=seed % 2**32, rounds=4)


def epoch_position(row: int, source: Source) -> int:
    """Where in an epoch's order of records its row `row` is taken from."""
    step, row = divmod(row, source.batch_size)
    part, turn = divmod(row, source.batch_size // source.interleave_groups)
    return (
        step * source.batch_size + turn * source.interleave_groups + part
    ) // source.record_repeats


def of_record(name: str, notes: Sequence[Note]) -> list[Note]:
    """Notes about the files of one record, each kind once, under the record's name."""
    kinds: dict[str, Note] = {}
    for note in notes:
        kinds.setdefault(note.kind, note._replace(where=name))
    return list(kinds.values())


def as_list(samples: Sample | list[Sample]) -> list[Sample]:
    return samples if isinstance(samples, list) else [samples]


def reason_of(error: Exception) -> str:
    """The first line of what it says, with its kind where it is not one that tells of a file."""
    said = one_line((str(error).splitlines() or [""])[0], 300)
    if said and isinstance(error, InputError | OSError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class HostBatches(Protocol):
    """A host's batches by number. `names`: of the records that one is to read."""

    def __len__(self) -> int: ...

    def __getitem__(self, step: int) -> HostBatch: ...

    def names(self, step: int) -> list[str]: ...


@contextlib.contextmanager
def batches(
    data: HostBatches,
    start: int = 0,
    workers: int = 0,
    threads: int = 1,
    patience: float = 0.0,
    stop: int | None = None,
) -> Iterator[Iterator[HostBatch]]:
    """Iterate `data` from step `start` to before `stop` (None: to the end), read ahead.

    workers: processes that make whole batches; 0 reads in this process with `threads` threads
        (worth more than one only where reading waits for a disk or a network).
    patience: seconds to wait for a batch before Stalled names who was to bring it; 0 = for ever.
        A worker that was killed is named, too.
    """
    dataset = grain.MapDataset.source(data)[start:stop].to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(4, 2 * threads))
    )
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # Grain's workers refuse to start otherwise.
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    iterator = iter(dataset)

    def whose(count: int) -> tuple[str, str]:
        # Grain's workers take turns.
        who = f"data worker {count % workers} of {workers}" if workers else "the data's reader"
        names = data.names(start + count)
        shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        return who, f"at batch {start + count} ({shown})"

    def waiting_for(count: int) -> str:
        return " hangs ".join(whose(count))

    stalled = False
    found = naming_lost_workers(iterator, whose) if workers else iterator
    try:
        yield with_timeout(found, patience, waiting_for) if patience else found
    except Stalled:
        stalled = True
        raise
    finally:
        # Grain's destructors are noisy at interpreter exit unless its iterators are closed; one
        # that hangs would hang here, too.
        close = getattr(iterator, "close", None)
        if close is not None and not stalled:
            close()


def naming_lost_workers(
    iterator: Iterator[HostBatch], whose: Callable[[int], tuple[str, str]]
) -> Iterator[HostBatch]:
    """The items of `iterator`; Stalled where a worker process ended that was to bring one.

    whose: (number of items before it) -> the worker, and what it was to bring.
    """
    count = 0
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            if "terminated unexpectedly" not in str(error):
                raise
            raise Stalled(" was lost ".join(whose(count))) from error
        yield item
        count += 1
