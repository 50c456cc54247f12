"""Writing a file so that a stopped program never leaves half of one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[str]:
    """A temporary name beside `path` to write to; renamed to `path` when the block ends without an
    error, else deleted."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield str(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
