"""Copies of files of object stores on this machine: libraries want files, epochs want them again.

$JAXVISION_CACHE/stored/<hash>/<name> holds one content of one address. Copies that were not used
for longest go where all of them together are more than $JAXVISION_CACHE_GB (20).
"""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from jaxvision.errors import InputError
from jaxvision.stores.store import Known, asking, content_key, copy_here

FOLDER, LIMIT = "stored", "JAXVISION_CACHE_GB"
DEFAULT_GB = 20.0
# A copy that was used within these seconds stays: somebody may be about to open it.
IN_USE_SECONDS = 60.0

_since_look = 0.0  # bytes that this process has copied since it last looked at all copies
_looking = threading.Lock()


def cache_folder() -> Path:
    """Of published files, of what was noted of them, of compiled programs and of copies."""
    chosen = os.environ.get("JAXVISION_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(chosen or f"{shared}/jaxvision").expanduser()


def local_copy(address: str, known: Known) -> Path:
    """Where the content that the store `known` to have at `address` lies here, copied if need be.

    InputError, in one line, where it does not come; nothing is left of a copy that is not whole.
    """
    folder = cache_folder() / FOLDER / content_key(address, known)
    where = folder / address.rpartition("/")[2]
    try:
        os.utime(where)  # used now
        return where
    except OSError:
        pass
    with asking(address):
        folder.mkdir(parents=True, exist_ok=True)
        # Threads and other processes may fetch it, too: each writes its own, the last one stands.
        with tempfile.TemporaryDirectory(dir=folder) as own:
            copy = Path(own) / where.name
            copy_here(address, copy, known)
            copy.chmod(0o444)  # nobody writes through it
            copy.replace(where)
    _make_room(known.size)
    return where


def limit() -> float:
    """Bytes that all copies may take together."""
    text = os.environ.get(LIMIT, "")
    try:
        gigabytes = float(text or DEFAULT_GB)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes > 0:
        raise InputError(f"{LIMIT}={text}: expected gigabytes, above 0")
    return gigabytes * 1e9


def _make_room(copied: int) -> None:
    """Look at all copies now and then, for looking takes longer than copying a small file."""
    global _since_look
    with _looking:
        _since_look += copied
        most = limit()
        if _since_look < most / 20:
            return
        _since_look = 0.0
        remove_oldest(cache_folder() / FOLDER, most)


def remove_oldest(folder: Path, most: float) -> None:
    """Remove the copies below `folder` that were used least lately, until the others take at most
    `most` bytes."""
    copies = []
    for path in folder.glob("*/*"):
        try:
            status = path.stat()
        except OSError:  # another process removed it
            continue
        copies.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in copies)
    for used, size, path in sorted(copies):
        if total <= most or time.time() - used < IN_USE_SECONDS:
            return
        shutil.rmtree(path.parent, ignore_errors=True)
        total -= size
