"""A file of an object store (gs://, s3://, ...) beside the others that were fetched: whole, and the
one that the store has now."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError, disk_problem, one_line

BLOCK = 1 << 22
# What reads the commonest stores; each is a package of its own.
PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "az": "adlfs", "abfs": "adlfs"}


def is_address(text: str) -> bool:
    return "://" in text


def fetch_object(address: str, folder: Path, say: Callable[[str], None] = print) -> Path:
    """Where a copy of the file at `address` lies, below `folder`; made where there is none of what
    the store has now.

    InputError, in one line, where the store cannot be read, has no such file, does not let us, or
    cuts off; nothing is left of a copy that is not whole.
    """
    store, path = _store(address)
    try:
        found = store.info(path)
        if found["type"] != "file":
            raise InputError(f"{address}: a folder; expected a file")
        state = hashlib.sha256(store.ukey(path).encode()).hexdigest()[:16]
        where = folder / "objects" / state / Path(path).name
        if not where.is_file():
            say(f"fetching {address} ({found['size'] / 1e6:.1f} MB)")
            where.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(where) as temporary:
                _copy(store, path, Path(temporary), found["size"])
        return where
    except Exception as error:
        if isinstance(error, InputError) or disk_problem_here(error):
            raise
        raise InputError(f"{address}: cannot be fetched: {_reason(error)}") from error


def disk_problem_here(error: Exception) -> bool:
    """Whether it is our disk that complains: a store that refuses raises a PermissionError, too,
    without a file of ours."""
    return disk_problem(error) is not None and bool(getattr(error, "filename", None))


def _store(address: str) -> tuple[Any, str]:
    import fsspec

    scheme = address.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = PACKAGES.get(scheme)
        advice = f"pip install {package}" if package else one_line(str(error), 200)
        raise InputError(f"{address}: {scheme}:// cannot be read here: {advice}") from error
    except ValueError as error:
        raise InputError(f"{address}: {one_line(str(error), 200)}") from error


def _copy(store: Any, path: str, target: Path, size: int) -> None:
    with store.open(path, "rb") as source, target.open("wb") as copy:
        while block := source.read(BLOCK):
            copy.write(block)
        written = copy.tell()
    if written != size:
        raise OSError(f"{written:,} of {size:,} bytes came")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file (404)"
    if isinstance(error, PermissionError):
        return f"not allowed (403): {one_line(str(error), 200)}"
    return one_line(" ".join(str(error).split()), 200) or type(error).__name__
