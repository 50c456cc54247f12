"""Writing a file so that a stopped program never leaves half of one, nor half a line."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jaxvision.errors import InputError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[str]:
    """A temporary name beside `path` to write to; renamed to `path` when the block ends without an
    error, else deleted."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield str(temporary.absolute())  # FFmpeg takes "12:30.mp4" for a protocol
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_once(path: Path, text: str) -> bool:
    """Write a file that other processes, on any machine, may be writing, too: of all the first one
    stands. Returns whether this was it."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        try:
            path.hardlink_to(file.name)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return _write_new(path, text)
        return True


def _write_new(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def path_inside(folder: Path, name: str | Path) -> Path:
    """The file called `name` in `folder`. InputError where that leads out of it: names come from
    lists and tables of others."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{name}: leads out of {folder}; nothing is written there")
    return path


def open_lines(path: Path) -> IO[str]:
    """`path`, opened to add lines. One that a crash tore, at its end, is cut off first: it would
    swallow the next."""
    with path.open("ab+") as file:
        end = file.seek(0, 2)
        while end:
            start = file.seek(max(end - 4096, 0))
            block = file.read(end - start)
            end = start + block.rfind(b"\n") + 1
            if b"\n" in block:
                break
        file.truncate(end)
    return path.open("a", encoding="utf-8")
