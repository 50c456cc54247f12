"""The order of files whose names hold numbers, and what is missing among them."""

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_NUMBER = re.compile(r"(\d+)")

Key = tuple[tuple[tuple[str, int], ...], ...]


def natural_key(path: Path) -> tuple[Key, str, str]:
    """What paths are sorted by: folder by folder, numbers in names as numbers (frame2 before
    frame10); of equal ones the plain name decides."""
    *folders, _ = path.parts or ("",)
    return tuple(_pieces(part) for part in (*folders, path.stem)), path.suffix, str(path)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted by `natural_key`."""
    return sorted(paths, key=natural_key)


def gaps(paths: Sequence[Path]) -> list[str]:
    """What is odd in a sequence of files of one folder, in words; [] where nothing is: numbers that
    are missing, that come twice, or that begin again, as where two sequences share a folder.

    The numbers that matter are the last in each name that are not the same in all. Steps of 2 or
    more throughout are no gaps.
    """
    rows = [[int(found) for found in _NUMBER.findall(path.stem)] for path in paths]
    numbers = _counting(rows)
    if len(paths) < 3 or not numbers:
        return []
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    usual = min((step for step in steps if step > 0), default=1)
    said = []
    for step, (before, after) in zip(steps, itertools.pairwise(paths), strict=True):
        if step > usual:
            missing = step // usual - (step % usual == 0)
            said.append(f"{missing} missing between {before.name} and {after.name}")
        elif step == 0:
            said.append(f"{before.name} and {after.name} have one number")
        elif step < 0:
            said.append(f"the numbers begin again between {before.name} and {after.name}")
    return said


def _counting(rows: Sequence[Sequence[int]]) -> list[int]:
    """Of the numbers in each name the last that differs between names (the very last, where names
    hold more or fewer); [] where one holds none."""
    if not rows or not all(rows):
        return []
    if len({len(row) for row in rows}) > 1:
        return [row[-1] for row in rows]
    columns = list(zip(*rows, strict=True))
    return list(next((c for c in reversed(columns) if len(set(c)) > 1), columns[-1]))


def first_and_last(paths: Sequence[Path]) -> str:
    """A sequence in a few words: its first file, its last, and how many."""
    return f"{paths[0].name} .. {paths[-1].name} ({len(paths)} files)"


def _pieces(name: str) -> tuple[tuple[str, int], ...]:
    words = _NUMBER.split(name.lower())
    # Text at even places, digits at odd ones: compared in pairs of (text, number after it).
    return tuple(
        (words[place], int(words[place + 1]) if place + 1 < len(words) else -1)
        for place in range(0, len(words), 2)
    )
