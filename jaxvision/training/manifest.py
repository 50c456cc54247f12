"""A checksum per file of a checkpoint, so that a damaged one is refused by name.

The array store reads files with a flipped bit without a word; the manifest does not. It is written
inside the folder before the folder is committed, and says what the folder is, too: of which run and
step, and what it stands on. A folder that was swapped with another, copied to another number or
brought from another run is not what its place says.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "manifest.json"
COMMIT_MARKER = "commit_success.txt"
FORMAT = 1  # of a checkpoint's folder; another is refused


def write(folder: Path, final: Path, facts: Mapping[str, Any]) -> None:
    """Hash every file under `folder`, and the marker that Orbax will add when it commits it as
    `final`, into the manifest, beside `facts`."""
    files = {str(p.relative_to(folder)): _entry(p) for p in _files(folder)}
    marker = f"Checkpoint commit was successful to {final}".encode()
    files[COMMIT_MARKER] = {"bytes": len(marker), "sha256": hashlib.sha256(marker).hexdigest()}
    table = {"format": FORMAT, **facts, "files": files}
    (folder / NAME).write_text(json.dumps({"sha256": _digest(table), **table}, indent=1))


def begun(folder: Path) -> bool:
    """Whether `folder` was committed, or is what is left of such a one."""
    return (folder / NAME).is_file() or (folder / COMMIT_MARKER).is_file()


def read(folder: Path) -> dict[str, Any]:
    """What the manifest says. ValueError, one line, where it cannot be believed."""
    try:
        stored = json.loads((folder / NAME).read_text())
        digest = stored.pop("sha256")
        if _digest(stored) == digest:
            return stored
    except FileNotFoundError as error:
        raise ValueError(f"{folder / NAME}: missing") from error
    except Exception as error:
        raise ValueError(f"{folder / NAME}: unreadable ({type(error).__name__})") from error
    raise ValueError(f"{folder / NAME}: checksum of its own table differs")


def damage(folder: Path, facts: Mapping[str, Any]) -> str | None:
    """One line naming the first fact that is another, or the first file that is missing, left over
    or altered; None if all is well."""
    try:
        stored = read(folder)
    except ValueError as error:
        return str(error)
    for name, expected in {"format": FORMAT, **facts}.items():
        if stored.get(name) != expected:
            return f"{folder}: its {name} is {stored.get(name)}, not {expected}"
    table = stored["files"]
    present = {str(p.relative_to(folder)): p for p in _files(folder)}
    for name in sorted(table.keys() | present.keys()):
        if name not in present:
            return f"{folder / name}: missing"
        if name not in table:
            return f"{folder / name}: not in the manifest"
        if _entry(present[name]) != table[name]:
            return f"{folder / name}: checksum differs from the manifest"
    return None


def forget(folder: Path) -> None:
    """Have the files under `folder` read from the disk the next time, not from memory."""
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != NAME]


def _digest(table: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def _entry(path: Path) -> dict:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
