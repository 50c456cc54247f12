"""A checksum per file of a checkpoint, so that a damaged one is refused by name.

The array store reads files with a flipped bit without a word; the manifest does not. It is written
inside the folder before the folder is committed, so a folder without one does not exist.
"""

import hashlib
import json
from pathlib import Path

NAME = "manifest.json"
COMMIT_MARKER = "commit_success.txt"


def write(folder: Path, final: Path) -> None:
    """Hash every file under `folder`, and the marker that Orbax will add when it commits it as
    `final`, into the manifest."""
    table = {str(p.relative_to(folder)): _entry(p) for p in _files(folder)}
    marker = f"Checkpoint commit was successful to {final}".encode()
    table[COMMIT_MARKER] = {"bytes": len(marker), "sha256": hashlib.sha256(marker).hexdigest()}
    text = json.dumps({"sha256": _digest(table), "files": table}, indent=1)
    (folder / NAME).write_text(text)


def exists(folder: Path) -> bool:
    """Whether `folder` was committed with a manifest."""
    return (folder / NAME).is_file() and (folder / COMMIT_MARKER).is_file()


def damage(folder: Path) -> str | None:
    """One line naming the first file that is missing, left over or altered; None if all is well."""
    try:
        stored = json.loads((folder / NAME).read_text())
        table, digest = stored["files"], stored["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{folder / NAME}: unreadable ({error})"
    if _digest(table) != digest:
        return f"{folder / NAME}: checksum of its own table differs"
    present = {str(p.relative_to(folder)): p for p in _files(folder)}
    for name in sorted(table.keys() | present.keys()):
        if name not in present:
            return f"{folder / name}: missing"
        if name not in table:
            return f"{folder / name}: not in the manifest"
        if _entry(present[name]) != table[name]:
            return f"{folder / name}: checksum differs from the manifest"
    return None


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != NAME]


def _digest(table: dict) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def _entry(path: Path) -> dict:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
