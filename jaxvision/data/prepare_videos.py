"""A folder of videos into one that is cheap to read, resumable and in parallel."""

import contextlib
import json
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jaxvision.data import frame_shards
from jaxvision.data.atomic_write import atomic_write, path_inside, write_once
from jaxvision.data.conversions import Note, collecting
from jaxvision.data.folders import files_below
from jaxvision.data.job_folder import PARTS
from jaxvision.data.reencoding import reencode
from jaxvision.data.shards import WHOLE, Shard
from jaxvision.data.timeout import Stalled
from jaxvision.data.video import SUFFIXES
from jaxvision.errors import InputError, one_line
from jaxvision.stores.stored_path import is_there, normal
from jaxvision.text_files import read_json, read_lines

FORMATS = ("mp4", "frames")
SETTINGS, UNREADABLE = "prepared.json", "unreadable.txt"
VIDEOS_PER_SHARD = 64
# What is kept beside a shard.
RECORD = {"names": [str], "rows": {str: frame_shards.ROW}, "unreadable": {str: str}}
_ENDINGS = "|".join(map(re.escape, SUFFIXES))
_LINE = re.compile(
    rf"(?P<quote>[\"']?)(?P<name>.*?(?:{_ENDINGS}))(?P=quote)(?P<rest>(?:[ ,]+-?\d+)+) *",
    re.IGNORECASE,
)


class Progress(NamedTuple):
    """videos: how many one job has settled.  skipped: whether an earlier run had.  unreadable: why
    not, by name.  converted: what the copies have no longer."""

    videos: int
    skipped: bool
    unreadable: Mapping[str, str]
    converted: Sequence[Note] = ()


@dataclass(frozen=True)
class Preparation:
    """What is to be done with the videos of `source`, in `target`.

    short_side: of the pictures, in pixels, even; smaller videos keep their size.
    format: "mp4", one re-encoded file each; or "frames", shards of JPEG frames.
    skipped: how many files beside the videos were passed over, by kind.
    lists: list files whose paths lie below `source`; only what they name is prepared. None: all.
    """

    source: Path
    target: Path
    short_side: int
    format: str = "mp4"
    lists: tuple[Path, ...] = ()
    names: tuple[str, ...] = field(init=False)
    skipped: Mapping[str, int] = field(init=False)

    def __post_init__(self):
        if self.format not in FORMATS:
            raise InputError(f"format {self.format!r}: expected one of {', '.join(FORMATS)}")
        if self.short_side < 2 or self.short_side % 2:
            raise InputError(f"short side {self.short_side}: expected an even number of pixels")
        if not self.source.is_dir():
            raise InputError(f"{self.source}: no such folder")
        if self.target.resolve().is_relative_to(self.source.resolve()):
            raise InputError(f"{self.target}: lies inside {self.source}, whose videos are read")
        if len({path.name for path in self.lists}) < len(self.lists):
            raise InputError("two lists have the same name; they would overwrite each other")
        names, skipped = self._find()
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "skipped", skipped)

    def _find(self) -> tuple[tuple[str, ...], Mapping[str, int]]:
        """(names of the videos: paths below `source`; the files beside them, by kind)."""
        if self.lists:
            named = {name for path in self.lists for name, _ in self.list_lines(path)}
            return tuple(sorted(named)), {}
        found = files_below(self.source, SUFFIXES)
        if not found.files:
            raise InputError(f"{self.source}: no videos there ({', '.join(SUFFIXES)})")
        names = (path.relative_to(self.source).as_posix() for path in found.files)
        return tuple(sorted(names)), found.skipped

    def list_lines(self, path: Path) -> list[tuple[str, str]]:
        """(name, rest of the line) of a list file. InputError names a line that fits nothing."""
        source = normal(self.source)  # links in it may lead out of it, ".." not
        found = []
        for number, line in enumerate(read_lines(path), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise InputError(f"{path}:{number}: {line!r}: expected a video file and numbers")
            file = normal(source / match["name"])  # an absolute path stays what it is
            if not is_there(file):  # False for any odd name
                raise InputError(f"{path}:{number}: {file}: no such file")
            if not file.is_relative_to(source):
                raise InputError(f"{path}:{number}: {file}: not below {self.source}")
            found.append((file.relative_to(source).as_posix(), match["rest"]))
        if not found:
            raise InputError(f"{path}: an empty list")
        return found

    @property
    def new_names(self) -> dict[str, str]:
        """What each video is called in `target`: files become .mp4, keeping their old suffix before
        it where two would share a name."""
        if self.format == "frames":
            return {name: name for name in self.names}
        stems = [name.rpartition(".")[0].lower() for name in self.names]
        shared = {stem for stem, count in Counter(stems).items() if count > 1}
        return {
            name: f"{name if stem in shared else name.rpartition('.')[0]}.mp4"
            for name, stem in zip(self.names, stems, strict=True)
        }

    def run(self, workers: int = 0, shard: Shard = WHOLE) -> Iterator[Progress]:
        """Do a shard of it, in `workers` processes (0: one per core), telling of each job as it
        ends.

        Jobs that an earlier run finished are skipped; one that was cut short is done again. At the
        end of a whole run `unreadable.txt` names what could not be read, and the lists are written
        anew.
        """
        self.target.mkdir(parents=True, exist_ok=True)
        self._check_settings()
        unreadable: dict[str, str] = {}
        for progress in _each(shard.of(self._jobs()), workers or os.cpu_count() or 1):
            unreadable |= progress.unreadable
            yield progress
        if shard.count > 1:
            return
        if self.format == "frames":
            self._join_rows()
        self._write_lists(unreadable)
        text = "".join(
            f"{one_line(name)}\t{reason}\n" for name, reason in sorted(unreadable.items())
        )
        _write(self.target / UNREADABLE, text)

    def _check_settings(self) -> None:
        """Refuse to go on in a folder that holds something else."""
        mine = {"format": self.format, "short_side": self.short_side}
        path = self.target / SETTINGS
        if not path.is_file():
            others = [p for p in self.target.iterdir() if p.name != PARTS and p.suffix != ".tmp"]
            if others and not path.is_file():
                raise InputError(f"{self.target}: not empty, and not the start of a preparation")
            if write_once(path, json.dumps(mine)):
                return
        earlier = read_json(path, {"format": str, "short_side": int})
        if earlier != mine:
            raise InputError(f"{self.target}: was begun with {earlier}, not {mine}")

    def _jobs(self) -> list["FileJob | ShardJob"]:
        if self.format == "mp4":
            return [
                FileJob(name, self.source / name, path_inside(self.target, new), self.short_side)
                for name, new in self.new_names.items()
            ]
        folder = self.target / frame_shards.SHARDS
        folder.mkdir(exist_ok=True)
        return [
            ShardJob(
                tuple(self.names[start : start + VIDEOS_PER_SHARD]),
                self.source,
                folder / f"{number:05}.array_record",
                self.short_side,
            )
            for number, start in enumerate(range(0, len(self.names), VIDEOS_PER_SHARD))
        ]

    def _join_rows(self) -> None:
        videos: dict[str, Any] = {}
        for job in self._jobs():
            assert isinstance(job, ShardJob)
            videos |= read_json(job.record, RECORD)["rows"]
        frame_shards.write_index(self.target, videos)

    def _write_lists(self, unreadable: Mapping[str, str]) -> None:
        new = self.new_names
        for path in self.lists:
            lines = [
                f"{new[name]}{rest}\n"
                for name, rest in self.list_lines(path)
                if name not in unreadable
            ]
            _write(path_inside(self.target, path.name), "".join(lines))


@dataclass(frozen=True)
class FileJob:
    """One re-encoded file."""

    name: str
    source: Path
    target: Path
    short_side: int

    def __call__(self) -> Progress:
        if self.target.is_file():
            return Progress(1, True, {})
        self.target.parent.mkdir(parents=True, exist_ok=True)
        with collecting() as notes:
            try:
                reencode(self.source, self.target, self.short_side)
            except InputError as error:
                return Progress(1, False, {self.name: str(error)})
        return Progress(1, False, {}, notes)


@dataclass(frozen=True)
class ShardJob:
    """One shard of frames, and its record (last, so that a shard with a record is whole)."""

    names: tuple[str, ...]
    source: Path
    shard: Path
    short_side: int

    @property
    def record(self) -> Path:
        return self.shard.with_suffix(".json")

    def __call__(self) -> Progress:
        if self.record.is_file() and self.shard.is_file():
            with contextlib.suppress(InputError):  # one that is damaged is made again
                earlier = read_json(self.record, RECORD)
                if earlier["names"] == list(self.names):
                    return Progress(len(self.names), True, earlier["unreadable"])
        self.record.unlink(missing_ok=True)
        videos = [(name, self.source / name) for name in self.names]
        with collecting() as notes:
            rows, unreadable = frame_shards.write_shard(self.shard, videos, self.short_side)
        record = {"names": self.names, "rows": rows, "unreadable": unreadable}
        _write(self.record, json.dumps(record))
        return Progress(len(self.names), False, unreadable, notes)


def _each(jobs: Sequence[FileJob | ShardJob], workers: int) -> Iterator[Progress]:
    if workers == 1 or not jobs:
        yield from (job() for job in jobs)
        return
    # Not forked: FFmpeg's threads and JAX's do not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        try:
            waiting = {pool.submit(job) for job in jobs}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool:
            raise Stalled(
                "a worker process was lost (killed, or out of memory); what it prepared before is "
                "kept: run again, perhaps with fewer --workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        Path(temporary).write_text(text)
