"""The one error that means "what you gave me is wrong", and how to name the nearest right thing."""

import contextlib
import difflib
import errno
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

MOST = 2000  # characters of a message
NAMED = 5  # inputs without an answer that a message names


class InputError(Exception):
    """Bad input. The message is one line: the file, key or shape at fault, and what was expected.

    The command line prints it without a traceback and exits with status 2. Names and texts of files
    may be in it: it is cut where it is too long, and control characters are written out.
    """

    def __init__(self, message: object = ""):
        super().__init__(one_line(str(message)))


class Unanswered(InputError):
    """Some of several inputs have no answer. written: the files of those that have one."""

    def __init__(self, reasons: Mapping[Path, str], count: int, written: Sequence[Path]):
        names = ", ".join(str(path) for path in list(reasons)[:NAMED])
        more = " ..." if len(reasons) > NAMED else ""
        super().__init__(
            f"{len(reasons)} of {count} inputs could not be answered: {names}{more}; the first: "
            f"{next(iter(reasons.values()))}"
        )
        self.written = list(written)


def one_line(text: str, most: int = MOST) -> str:
    """`text` as one line of at most `most` characters, all of them printable, and a word where it
    was cut."""
    kept = text[:most]
    if not kept.isprintable():
        escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in kept)
        kept = "".join(escaped)[:most]
    return kept if len(text) <= most else f"{kept} ... ({len(text)} characters)"


@contextlib.contextmanager
def reading(path: object, what: str, ours: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """The net at a reader's edge: whatever a damaged file makes libraries raise becomes an
    InputError that names the file and what it was read as. Exceptions of `ours` pass."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (InputError, *ours)):
            raise
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        reason = one_line(" ".join(str(error).split()), 200) or type(error).__name__
        raise InputError(f"{path}: cannot be read as {what}: {reason}") from error


# A full disk, one that may not be written, and a file or a folder in place of the other.
DISK_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
}


def disk_problem(error: BaseException) -> str | None:
    """What a disk has to say in an error, or None. Libraries wrap it in errors of their own."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    text = " ".join(str(error).split())
    said = ("No space left", "File too large", "Disk quota exceeded", "Read-only file system")
    return next((f"{word} ({one_line(text, 120)})" for word in said if word in text), None)


@contextlib.contextmanager
def writing(folder: object) -> Iterator[None]:
    """Makes what a disk says, while files are written into `folder`, one line that names it."""
    try:
        yield
    except Exception as error:
        problem = disk_problem(error)
        if problem is None or isinstance(error, InputError):
            raise
        raise InputError(f"{folder}: cannot be written: {problem}") from error


def check_writable(out: Path, file: bool = False) -> None:
    """InputError where files cannot be written into the folder `out` (or, with `file`, one file of
    that name), there or to be made: asked before the work, not after it. Nothing is left behind."""
    folder = out.parent if file else out
    with writing(out):
        if file and out.is_dir():
            raise IsADirectoryError(errno.EISDIR, f"{out} is a folder, expected a file")
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is a file, expected a folder")
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except FileNotFoundError as error:  # of /proc and its like, which make nothing anew
            raise InputError(f"{out}: nothing can be made in {there}") from error


FEW = 24  # names that one line can hold


def check_choice(what: str, value: object, known: Collection[str]) -> None:
    """InputError where `value`, of `what` (a key: "data.name"), is none of `known`: it gives the
    nearest one."""
    if value not in known:
        raise InputError(f"{what} {value!r}{nearest(str(value), known)}")


def check_network(method: str, name: str, known: Collection[str]) -> None:
    """InputError where no network of `method` is called `name`: it gives the nearest one."""
    if name not in known:
        raise InputError(f"{method}/{name}: no such network{nearest(name, known)}")


def nearest(wrong: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for what `wrong` is short for ("lr"), else the closest of `known`;
    where none is close all of them, or the least distant of many."""
    known = sorted(known)
    close = _meant(wrong, known) or difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    if len(known) > FEW:
        least = difflib.get_close_matches(wrong, known, n=5, cutoff=0.0)
        return f"; nearest of {len(known)}: {', '.join(least)}"
    return f"; known: {', '.join(known)}"


def _meant(wrong: str, known: Iterable[str]) -> list[str]:
    """Of `known` (or tables in it), those of which `wrong` has initials: "optim.lr" is short for
    "optim.learning_rate"."""
    words = wrong.split(".")
    tables = [name.split(".")[: len(words)] for name in known]
    return [
        ".".join(table)
        for table in tables
        if len(table) == len(words)
        and all(
            word in (name, "".join(part[:1] for part in name.split("_")))
            for word, name in zip(words, table, strict=True)
        )
    ]
