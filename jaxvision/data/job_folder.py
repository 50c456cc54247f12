"""A folder of answers belongs to one job, and says in `job.json` which."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError
from jaxvision.text_files import read_json

NOTE = "job.json"
PARTS = "parts"  # of the job, which shards answer (`shards.py`)


@contextlib.contextmanager
def job_folder(folder: Path, job: Mapping[str, Any]) -> Iterator[None]:
    """`folder`, made where it is not there, as the place of what `job` answers, within the block.

    job: all that the answers depend on, by name. The same job may come again and go on. InputError
    where another job's answers, or files of no job, lie there. A block that fails before it wrote
    anything leaves no note, and no folder that was not there.
    """
    note = folder / NOTE
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    mine = _as_json(job)
    if note.is_file():
        check_same_job(folder, mine)
    else:
        names = {path.name for path in folder.glob("*")} - {PARTS}
        foreign = sorted(name for name in names if not name.startswith("."))
        if foreign:
            raise InputError(
                f"{folder}: holds files of no job ({foreign[0]}); expected a new or empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(note) as temporary:
            Path(temporary).write_text(json.dumps(mine, indent=1, sort_keys=True))
    try:
        yield
    finally:
        if note.is_file() and [path.name for path in folder.iterdir()] == [NOTE]:
            note.unlink()
            with contextlib.suppress(OSError):  # another process may write there by now
                for path in made:
                    path.rmdir()


def _read(note: Path) -> Mapping[str, Any]:
    try:
        return read_json(note, dict)
    except InputError as error:
        raise InputError(f"{error}; it should say whose folder this is") from error


def _as_json(job: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(job, sort_keys=True, default=str))


def check_same_job(folder: Path, job: Mapping[str, Any]) -> None:
    """InputError, with the first difference, where the note of `folder` tells of another job."""
    theirs, mine = _read(folder / NOTE), _as_json(job)
    if theirs != mine:
        key = min(k for k in {*theirs, *mine} if theirs.get(k) != mine.get(k))
        key, there, here = _first_difference(key, theirs.get(key), mine.get(key))
        raise InputError(
            f"{folder}: holds another job's answers ({key}: {_short(there)} there, "
            f"{_short(here)} here); expected a new or empty folder"
        )


def _first_difference(key: str, there: Any, here: Any) -> tuple[str, Any, Any]:
    """The innermost key at which two values differ, and what stands there. Of a table's own values
    before those of tables in it: a config's method says more than its settings."""
    if isinstance(there, dict) and isinstance(here, dict):
        differing = [k for k in {*there, *here} if there.get(k) != here.get(k)]
        inner = min(differing, key=lambda k: (isinstance(there.get(k, here.get(k)), dict), k))
        return _first_difference(f"{key}.{inner}", there.get(inner), here.get(inner))
    if isinstance(there, list) and isinstance(here, list):
        lacking = [value for value in here if value not in there]
        missing = [value for value in there if value not in here]
        return key, missing[:1] or there, lacking[:1] or here
    return key, there, here


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
