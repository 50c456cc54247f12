"""What an object store holds, and, in one line, why it does not give it."""

import contextlib
import datetime
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxvision.errors import InputError, disk_problem, one_line

BLOCK = 1 << 22
# What reads the commonest stores; each is a package of its own.
PACKAGES = {
    **{"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "az": "adlfs", "abfs": "adlfs"},
    **{"http": "aiohttp", "https": "aiohttp"},
}
# What tells one content of an object from a later one under its name, the best first.
VERSIONS = (
    *("ETag", "etag", "generation", "md5Hash", "mtime", "LastModified", "last_modified"),
    *("updated", "created"),
)


# A web server's answers.
REFUSED, GONE = (401, 403), (404, 410)


class Known(NamedTuple):
    """What a store said of a name.  version: of a file's content: another content has another."""

    folder: bool
    size: int = 0
    version: str = ""

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "Known":
        """From what fsspec calls `info`."""
        size = int(info.get("size") or 0)
        said = next((info[name] for name in VERSIONS if info.get(name)), "")
        # A question and a listing spell the same thing differently.
        said = said.timestamp() if isinstance(said, datetime.datetime) else str(said).strip('"')
        digest = hashlib.sha256(f"{size} {said}".encode()).hexdigest()[:16]
        return cls(info["type"] == "directory", size, digest)


def is_address(text: str) -> bool:
    return "://" in text


def open_store(address: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it). InputError where the package that reads such
    addresses is not installed."""
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


@contextlib.contextmanager
def asking(address: str, what: str = "read") -> Iterator[None]:
    """Makes whatever a store has to say an InputError: "ADDRESS: cannot be `what`: ...". What our
    own disk says passes."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or _of_our_disk(error):
            raise
        raise InputError(f"{address}: cannot be {what}: {reason(error)}") from error


def _of_our_disk(error: Exception) -> bool:
    """A store that refuses raises a PermissionError, too, without a file of ours."""
    return disk_problem(error) is not None and bool(getattr(error, "filename", None))


def reason(error: BaseException) -> str:
    error = _hidden(error) or error
    if isinstance(error, FileNotFoundError):
        return "no such file (404)"
    status = getattr(error, "status", None)
    if isinstance(error, PermissionError) or status in REFUSED:
        return f"not allowed ({status or 403}): {one_line(str(error), 200)}"
    return one_line(" ".join(str(error).split()), 200) or type(error).__name__


def _hidden(error: BaseException) -> BaseException | None:
    """Why a web server gave nothing: fsspec says "not found" of it, whatever it answered."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or isinstance(cause, FileNotFoundError):
        return None
    of_the_web = type(cause).__module__.partition(".")[0] == "aiohttp"
    told = of_the_web or isinstance(cause, OSError)
    return cause if told and getattr(cause, "status", None) not in GONE else None


@contextlib.contextmanager
def _unless_missing() -> Iterator[None]:
    """Passes over what is not there."""
    try:
        yield
    except FileNotFoundError as error:
        if _hidden(error):
            raise


def content_key(address: str, known: Known) -> str:
    """The name of one content of one address."""
    return hashlib.sha256(f"{address} {known.version}".encode()).hexdigest()[:24]


def known_of(address: str, what: str = "read") -> Known | None:
    """What the store says of `address` now; None where nothing is there."""
    store, path = open_store(address)
    with asking(address, what), _unless_missing():
        return Known.of(store.info(path))
    return None


def listing(address: str) -> dict[str, Known]:
    """What lies in the folder `address`, by name; InputError where there is no such folder."""
    store, path = open_store(address)
    rows: list[Mapping[str, Any]] = []
    with asking(address), _unless_missing():
        rows = store.ls(path, detail=True)
    above = path.rstrip("/")
    # A store may list a folder in itself.
    found = {_below(row["name"], above): Known.of(row) for row in rows}
    found.pop("", None)
    if not found:
        raise InputError(f"{address}: no such folder (404)")
    return found


def files_under(address: str) -> dict[str, Known]:
    """Every file below the folder `address`, by its path from there; {} where there is none."""
    store, path = open_store(address)
    with asking(address):
        rows = store.find(path, detail=True)
        if not rows:  # fsspec finds nothing where it may not look, too
            with _unless_missing():
                store.ls(path)
    above = path.rstrip("/")
    found = {_below(name, above): Known.of(row) for name, row in rows.items()}
    return {name: known for name, known in sorted(found.items()) if name and not known.folder}


def _below(name: str, above: str) -> str:
    """`name` as seen from `above`; stores differ in whether a name begins with a slash."""
    return name.strip("/").removeprefix(above.strip("/")).strip("/")


def copy_here(address: str, target: Path, known: Known) -> None:
    """Write the file at `address` to `target`. OSError where it does not come whole."""
    store, path = open_store(address)
    with store.open(path, "rb") as source, target.open("wb") as copy:
        while block := source.read(BLOCK):
            copy.write(block)
        written = copy.tell()
    if written != known.size:
        raise OSError(f"{written:,} of {known.size:,} bytes came")


def send(source: Path, address: str) -> None:
    """Put the file `source` at `address`: whole, or what was there before."""
    store, path = open_store(address)
    with asking(address, "written"):
        store.put_file(str(source), path)


def remove(address: str) -> None:
    """Remove a file; one that is gone already is no fault."""
    store, path = open_store(address)
    with asking(address, "removed"), _unless_missing():
        store.rm_file(path)


def check_store_writable(address: str, name: str = ".jaxvision") -> None:
    """InputError where no file can be put below `address`: asked before the work. Nothing stays."""
    store, path = open_store(address)
    probe = f"{path.rstrip('/')}/{name}"
    with asking(address, "written"):
        store.pipe_file(probe, b"jaxvision")
        store.rm_file(probe)
