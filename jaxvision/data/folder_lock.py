"""A folder that one process at a time may write."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from jaxvision.errors import InputError


@contextlib.contextmanager
def folder_lock(lock: Path, what: str) -> Iterator[None]:
    """Holds the file `lock`, made where it is not there, within the block.

    InputError, which begins with `what`, where it cannot be written or another process holds it.
    The lock is the kernel's: it goes with the process, however that ends.
    """
    try:
        file = lock.open("a+")
    except OSError as error:
        raise InputError(f"{what}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise InputError(
                f"{what} is in use by process {file.read().strip() or 'unknown'}"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
