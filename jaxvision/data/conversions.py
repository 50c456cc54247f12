"""What readers changed or left out of a file, told to whoever reads many: a kind once, counted.

A reader says `note(path, kind)`; what it reads within a `collecting()` block of the same thread is
kept there. Where nobody collects, a note is lost.
"""

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

from jaxvision.errors import one_line


class Note(NamedTuple):
    """kind: what was done, the same words for every file.  where: the file or record.
    detail: what else is worth telling of the first."""

    kind: str
    where: str
    detail: str = ""


class Conversions:
    """Notes by kind: the first of each, and in how many files it was."""

    def __init__(self) -> None:
        self._first: dict[str, Note] = {}
        self._files: dict[str, set[str]] = {}

    def add(self, notes: Iterable[Note]) -> list[str]:
        """A line for every kind that is new."""
        new = []
        for note in notes:
            if note.kind not in self._first:
                self._first[note.kind] = note
                new.append(f"converted: {note.kind}: first {_named(note)}")
            self._files.setdefault(note.kind, set()).add(note.where)
        return new

    def lines(self, what: str = "files") -> list[str]:
        """A line for every kind, with the number of files. what: they are."""
        return [
            f"converted: {kind}: {len(self._files[kind])} {what}, first {_named(first)}"
            for kind, first in self._first.items()
        ]


_collected: ContextVar[list[Note] | None] = ContextVar("conversions", default=None)


def note(where: object, kind: str, detail: str = "") -> bool:
    """Says that something was done with a file; whether anybody listens."""
    notes = _collected.get()
    if notes is not None:
        notes.append(Note(kind, str(where), detail))
    return notes is not None


@contextlib.contextmanager
def collecting() -> Iterator[list[Note]]:
    """What readers note within the block, in this thread."""
    notes: list[Note] = []
    before = _collected.set(notes)
    try:
        yield notes
    finally:
        _collected.reset(before)


def _named(note: Note) -> str:
    return one_line(f"{note.where} ({note.detail})" if note.detail else note.where, 300)
