"""A folder of answers in an object store, which has neither locks nor renames: the work is done in
a folder of this machine, and its files are put into the store one by one, each of them whole.

What is there already comes here first, so that another machine goes on where one stopped. Where the
store cannot be written the files stay here, and the same command puts them there.
"""

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxvision.errors import InputError, check_writable
from jaxvision.stores.local_copies import cache_folder
from jaxvision.stores.store import (
    asking,
    check_store_writable,
    copy_here,
    files_under,
    is_address,
    remove,
    send,
)

FOLDER = "staged"


@dataclass(frozen=True)
class Staged:
    """folder: where to work.  address: where its files go; "" where they stay."""

    folder: Path
    address: str = ""

    def shown(self, path: Path) -> str:
        """What to call a file of the folder."""
        if not self.address:
            return str(path)
        return f"{self.address.rstrip('/')}/{path.relative_to(self.folder).as_posix()}"


def local_folder(out: str | Path, part: str = "") -> Staged:
    """Where to work for `out`.  part: of several that work for one address on this machine."""
    text = str(out)
    if not is_address(text):
        return Staged(Path(out))
    key = hashlib.sha256(f"{text.rstrip('/')} {part}".encode()).hexdigest()[:24]
    return Staged(cache_folder() / FOLDER / key, text)


def check_out(staged: Staged) -> None:
    """InputError where nothing can be written there: asked before the work."""
    check_writable(staged.folder)
    if staged.address:
        check_store_writable(staged.address)


def everything(name: str) -> bool:
    return True


def nothing(name: str) -> bool:
    return False


@contextlib.contextmanager
def kept_in_store(
    staged: Staged, mark: str = "", wanted: Callable[[str], bool] = everything
) -> Iterator[None]:
    """Has what lies at the address here within the block, and what the block made there after it,
    however that ends. Nothing happens where there is no address.

    mark: the name of a file without which what lies there is not ours (InputError).  wanted: of
    which files of the store, by their path, the content is needed.
    """
    if not staged.address:
        yield
        return
    before = _pull(staged, mark, wanted)
    try:
        yield
    except BaseException as error:
        # The error of the work is the one to tell, with the place that the command named.
        with contextlib.suppress(Exception):
            _push(staged, before)
        if type(error) is InputError:
            text = str(error).replace(str(staged.folder), staged.address.rstrip("/"))
            raise InputError(text) from error
        raise
    _push(staged, before)
    shutil.rmtree(staged.folder, ignore_errors=True)


def _pull(staged: Staged, mark: str, wanted: Callable[[str], bool]) -> dict[str, tuple[int, int]]:
    """Copy what is there and not here; (size, time) of each copy by name. A file that is here is
    what an earlier start could not put there."""
    here: dict[str, tuple[int, int]] = {}
    there = files_under(staged.address)
    if mark and there and not any(Path(name).name == mark for name in there):
        raise InputError(
            f"{staged.address}: holds files of no job ({next(iter(there))}); expected a new or "
            "empty folder"
        )
    for name, known in there.items():
        where = staged.folder / name
        if not wanted(name) or where.is_file():
            continue
        where.parent.mkdir(parents=True, exist_ok=True)
        with asking(f"{staged.address}/{name}"):
            part = where.with_name(f".{where.name}.part")
            try:
                copy_here(f"{staged.address.rstrip('/')}/{name}", part, known)
                part.replace(where)
            finally:
                part.unlink(missing_ok=True)
        here[name] = _state(where)
    return here


def _push(staged: Staged, before: dict[str, tuple[int, int]]) -> None:
    """Put there what is new or another; remove what is gone. What tells of others (tables, notes of
    what has finished) goes last."""
    files = {p.relative_to(staged.folder).as_posix(): p for p in staged.folder.rglob("*")}
    now = {name: p for name, p in files.items() if p.is_file() and not p.name.startswith(".")}
    changed = [name for name, path in now.items() if before.get(name) != _state(path)]
    for name in sorted(changed, key=_last):
        send(now[name], f"{staged.address.rstrip('/')}/{name}")
    for name in before.keys() - now.keys():
        remove(f"{staged.address.rstrip('/')}/{name}")
    if changed:
        print(f"{len(changed)} files put into {staged.address}", file=sys.stderr)


def _last(name: str) -> tuple[int, str]:
    path = Path(name)
    return (2 if not path.suffix else 1 if path.suffix in (".json", ".csv") else 0), name


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
