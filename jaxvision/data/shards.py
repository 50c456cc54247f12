"""One part of a work that several machines share, and whether all parts are there.

Shard I of N takes the I-th of N runs of neighbouring items: together they are every item, once and
in order, whoever runs them and when. What is a shard's alone lies in OUT/parts/I-of-N, which says
in `job.json` what was asked and holds a file `finished` once it has ended.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jaxvision.data.folder_lock import folder_lock
from jaxvision.data.job_folder import NOTE, check_same_job, job_folder
from jaxvision.data.job_folder import PARTS as FOLDER
from jaxvision.errors import InputError
from jaxvision.text_files import read_json

FINISHED = "finished"
FROM_ARRAY = "auto"  # what --shard says where a scheduler numbers the shards
COUNT_VARIABLE = "JAXVISION_SHARDS"  # Kubernetes tells a pod its number, not how many there are
_NAME = re.compile(r"(\d+)-of-(\d+)")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """number: from 1 to `count`."""

    number: int
    count: int

    def __post_init__(self):
        if not 1 <= self.number <= self.count:
            raise InputError(f"--shard {self}: expected I/N with 1 <= I <= N, such as 1/8")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """This shard's items: neighbours; of two shards one has at most one item more."""
        first, stop = (len(items) * n // self.count for n in (self.number - 1, self.number))
        return items[first:stop]

    def folder(self, out: Path) -> Path:
        return out / FOLDER / f"{self.number}-of-{self.count}"

    def needs(self, name: str) -> bool:
        """Whether this shard looks into a file of OUT: its own, and the notes of the others."""
        of_any = of_a_shard(name) and name.endswith(f"/{NOTE}")
        return of_any or name.startswith(f"{self.folder(Path()).as_posix()}/")


WHOLE = Shard(1, 1)


def asked_shard(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard | None:
    """What `--shard` asks for: None, "I/N", or "auto", which reads a SLURM array or a Kubernetes
    indexed job. InputError for anything else.

    An array alone shards nothing: people also run one setting a task.
    """
    if text is None:
        return None
    if text == FROM_ARRAY:
        return _in_array(environment)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None:
        raise InputError(f"--shard {text!r}: expected I/N, such as 1/8, or {FROM_ARRAY!r}")
    return Shard(int(match[1]), int(match[2]))


def _in_array(environment: Mapping[str, str]) -> Shard:
    if "SLURM_ARRAY_TASK_ID" in environment:
        names = [f"SLURM_ARRAY_TASK_{end}" for end in ("ID", "COUNT", "MIN", "MAX")]
        number, count, first, last = (_whole_number(environment, name) for name in names)
        step = (last - first) // max(count - 1, 1) or 1
        if last - first != step * (count - 1) or (number - first) % step:
            raise InputError(
                f"--shard {FROM_ARRAY}: {count} tasks from {first} to {last}; expected evenly "
                "numbered ones (--array=1-8): a shard that failed is run again with all, or by its "
                "own I/N"
            )
        return Shard((number - first) // step + 1, count)
    if "JOB_COMPLETION_INDEX" in environment:
        count = _whole_number(environment, COUNT_VARIABLE)
        return Shard(_whole_number(environment, "JOB_COMPLETION_INDEX") + 1, count)
    raise InputError(
        f"--shard {FROM_ARRAY}: expected a SLURM array (SLURM_ARRAY_TASK_ID) or a Kubernetes "
        f"indexed job (JOB_COMPLETION_INDEX, {COUNT_VARIABLE})"
    )


def _whole_number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdecimal():
        raise InputError(f"--shard {FROM_ARRAY}: {name}={text!r}: expected a whole number")
    return int(text)


@contextlib.contextmanager
def shard_folder(out: Path, shard: Shard, job: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of a shard of `job`, for this process alone within the block; finished once that
    ends without an error.

    InputError where shards of another number, this shard of another job, or another process with
    the same shard are there.
    """
    folder = shard.folder(out)
    others = sorted({count for _, count in _there(out)} - {shard.count})
    if others:
        raise InputError(
            f"{out / FOLDER}: holds shards of {others[0]}; --shard {shard}: expected as many, or a "
            "new folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        folder_lock(_lock_of(folder), f"{folder}: shard {shard}"),
        job_folder(folder, {**job, **_key(shard)}),
    ):
        (folder / FINISHED).unlink(missing_ok=True)  # of an earlier start: inputs may have changed
        yield folder
        (folder / FINISHED).touch()


def finished_shards(out: Path, job: Mapping[str, Any]) -> list[Path]:
    """The folders of all shards of `job`, in order. InputError unless all are there and have
    finished."""
    counts = sorted({count for _, count in _there(out)})
    if len(counts) != 1:
        expected = "expected those of one --shard I/N for every I"
        there = f"shards of {' and '.join(map(str, counts))}" if counts else "no shards"
        raise InputError(f"{out / FOLDER}: holds {there}; {expected}")
    shards = [Shard(number, counts[0]) for number in range(1, counts[0] + 1)]
    lacking = [shard for shard in shards if not (shard.folder(out) / FINISHED).is_file()]
    if lacking:
        named = ", ".join(map(str, lacking[:5])) + (" ..." if len(lacking) > 5 else "")
        raise InputError(
            f"{out / FOLDER}: {len(lacking)} of {counts[0]} shards have not finished: {named}"
        )
    for shard in shards:
        check_same_job(shard.folder(out), {**job, **_key(shard)})
    return [shard.folder(out) for shard in shards]


def shards_to_merge(out: Path, job: Mapping[str, Any], merge: bool) -> list[Path]:
    """What one machine that does all takes over: with `merge` what `finished_shards` finds, else
    nothing, and InputError where shards lie in `out`."""
    if merge:
        return finished_shards(out, job)
    counts = sorted({count for _, count in _there(out)})
    if counts:
        raise InputError(
            f"{out / FOLDER}: holds shards of {' and '.join(map(str, counts))}; expected --merge "
            "once all have finished, --shard I/N to go on with one, or a new folder"
        )
    return []


def of_a_shard(name: str) -> bool:
    """Whether a file of OUT, by its path from there, is one of a shard's."""
    return name.startswith(f"{FOLDER}/")


def remove_shards(folders: Sequence[Path]) -> None:
    """The folders of shards that have been merged, and their locks."""
    for folder in folders:
        shutil.rmtree(folder)
        _lock_of(folder).unlink(missing_ok=True)
    for parts in {folder.parent for folder in folders}:
        with contextlib.suppress(OSError):  # somebody keeps something in it
            parts.rmdir()


def shard_in(folder: Path) -> Shard:
    """Which shard's the answers in `folder` are, as its `job.json` says; 1/1 where none is said."""
    note = folder / NOTE
    said = read_json(note, {"shard?": (int, int)}) if note.is_file() else {}
    return Shard(*said["shard"]) if "shard" in said else WHOLE


def _key(shard: Shard) -> dict[str, Any]:
    return {"shard": [shard.number, shard.count]}


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _there(out: Path) -> list[tuple[int, int]]:
    """(number, count) of the shards whose folders lie in `out`."""
    matches = (_NAME.fullmatch(path.name) for path in (out / FOLDER).glob("*-of-*"))
    return sorted((int(m[1]), int(m[2])) for m in matches if m is not None)
