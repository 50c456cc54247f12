"""An address in an object store with the methods of a `Path`: readers need not know which it is.

`path_to(text)` makes a path of a setting or of a word of the command line. A StoredPath lists
folders by asking the store, and where a library opens it, as a file (`os.fspath`), that is a local
copy (`local_copies`). What a listing said of a file stays with its path, also on the way to another
process: millions of records are asked for once, not once more each. Nothing is written through it.
"""

import fnmatch
import glob
import io
import os
import re
import stat as modes
from collections.abc import Generator
from pathlib import Path, PosixPath, PurePath
from typing import IO, Any

from jaxvision.errors import InputError
from jaxvision.stores.local_copies import local_copy
from jaxvision.stores.store import Known, files_under, is_address, known_of, listing


def path_to(text: str | os.PathLike[str]) -> Path:
    """Where `text` is: a path on this machine, or an address of an object store."""
    if isinstance(text, Path):
        return text
    return StoredPath(text) if isinstance(text, str) and is_address(text) else Path(text)


def folder_here(key: str, text: str) -> Path:
    """A folder that is written, of a setting; InputError for an address."""
    if is_address(text):
        raise InputError(f"{key}={text}: expected a folder of this machine; mount the store first")
    return Path(text)


def path_below(root: str | Path, name: str) -> Path:
    """The file `name` of a list, below `root`; an address stands for itself."""
    return path_to(name) if is_address(name) else path_to(root) / name


def normal(path: Path) -> Path:
    """From the root on, ".." taken away; links stay."""
    return path.resolve() if isinstance(path, StoredPath) else Path(os.path.abspath(path))


def matches(pattern: str) -> list[Path]:
    """What a pattern with *, ? or [ names."""
    if not is_address(pattern):
        return [Path(found) for found in glob.glob(pattern)]
    first = re.search(r"[*?[]", pattern)
    if first is None:
        return []
    above = pattern[: pattern.rindex("/", 0, first.start())]
    return list(StoredPath(above).glob(pattern[len(above) + 1 :]))


def is_there(path: str | Path, folder: bool = False) -> bool:
    """Whether there is such a file (folder: or folder); False for a name that no file can have."""
    if isinstance(found := path_to(path), StoredPath):
        return found.exists() if folder else found.is_file()
    return os.path.exists(path) if folder else os.path.isfile(path)


class StoredPath(PosixPath):
    """Its parts are ("gs:", "bucket", ...). Asking raises InputError, one line, where the store
    does not let us; what is not there is not there."""

    _known: Known | None = None  # what a listing said

    def __str__(self) -> str:
        first, *others = self.parts or ("",)
        return f"{first}//{'/'.join(others)}" if first.endswith(":") else "/".join(self.parts)

    def __repr__(self) -> str:
        return f"StoredPath({str(self)!r})"

    def __reduce__(self) -> Any:
        return _again, (str(self), self._known)

    def __fspath__(self) -> str:
        known = self._asked()
        if known is None:
            raise InputError(f"{self}: no such file (404)")
        if known.folder:
            raise InputError(f"{self}: a folder of an object store; expected a file there")
        return str(local_copy(self._address(), known))

    def __truediv__(self, name: Any) -> Any:
        """An address stands for itself; a path from "/" on is one of this machine."""
        if is_address(str(name)):
            return path_to(str(name))
        return Path(name) if PurePath(name).is_absolute() else super().__truediv__(name)

    def _asked(self) -> Known | None:
        return self._known or known_of(self._address())

    def _address(self) -> str:
        """As the store knows it: there is no ".." there."""
        return str(self.resolve() if ".." in self.parts else self)

    def _with(self, known: Known) -> "StoredPath":
        self._known = known
        return self

    # What a path is asked.

    def exists(self, **_: Any) -> bool:
        return self._asked() is not None

    def is_file(self, **_: Any) -> bool:
        known = self._asked()
        return known is not None and not known.folder

    def is_dir(self, **_: Any) -> bool:
        known = self._asked()
        return known is not None and known.folder

    def is_symlink(self) -> bool:
        return False

    def stat(self, **_: Any) -> os.stat_result:
        """The "time" is another for another content, and says nothing of when."""
        known = self._asked()
        if known is None:
            raise FileNotFoundError(2, "no such file (404)", str(self))
        mode = modes.S_IFDIR if known.folder else modes.S_IFREG
        time = int(known.version[:12] or "0", 16)
        return os.stat_result(
            (mode, 0, 0, 1, 0, 0, known.size, 0, 0, 0), {"st_mtime_ns": time, "st_ctime_ns": time}
        )

    def resolve(self, strict: bool = False) -> "StoredPath":
        """As it is, ".." taken away: there are no links."""
        return StoredPath(*os.path.normpath("/".join(self.parts)).split("/"))

    def absolute(self) -> "StoredPath":
        return self

    def is_absolute(self) -> bool:
        return True

    def expanduser(self) -> "StoredPath":
        return self

    def relative_to(self, *other: Any, **options: Any) -> Any:
        return Path(*super().relative_to(*other, **options).parts)

    def iterdir(self) -> Generator["StoredPath", None, None]:
        for name, known in listing(self._address()).items():
            yield (self / name)._with(known)

    def glob(self, pattern: Any, **_: Any) -> Generator["StoredPath", None, None]:
        """Patterns of as many parts as the paths have; none crosses folders."""
        wanted = PurePath(pattern).parts
        for path in self._below(deep=len(wanted) > 1):
            parts = path.relative_to(self).parts
            if len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted)):
                yield path

    def rglob(self, pattern: Any, **_: Any) -> Generator["StoredPath", None, None]:
        for path in self._below(deep=True):
            if fnmatch.fnmatchcase(path.name, str(pattern)):
                yield path

    def _below(self, deep: bool) -> Generator["StoredPath", None, None]:
        """Files and folders below this one; those in it alone, or all of them."""
        if not deep:
            if self.is_dir():
                yield from self.iterdir()
            return
        folders: set[str] = set()
        for name, known in files_under(self._address()).items():
            for above in list(PurePath(name).parents)[-2::-1]:
                if str(above) not in folders:
                    folders.add(str(above))
                    yield (self / above)._with(Known(folder=True))
            yield (self / name)._with(known)

    # Its content.

    def open(self, mode: str = "r", *others: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        if set(mode) & set("wax+"):
            raise self._read_only()
        return io.open(os.fspath(self), mode, *others, **options)  # noqa: UP020 - not this one

    def read_bytes(self) -> bytes:
        return Path(os.fspath(self)).read_bytes()

    def read_text(self, *others: Any, **options: Any) -> str:
        return Path(os.fspath(self)).read_text(*others, **options)

    def _read_only(self, *_: Any, **__: Any) -> InputError:
        return InputError(f"{self}: object storage is read here, not written")

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise self._read_only()

    mkdir = touch = unlink = rmdir = rename = replace = _refuse
    write_bytes = write_text = symlink_to = hardlink_to = chmod = _refuse


def _again(address: str, known: Known | None) -> Path:
    """What `pickle` makes of one in another process."""
    path = path_to(address)
    return path._with(known) if known and isinstance(path, StoredPath) else path
