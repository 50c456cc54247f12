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
    """What is missing in a sequence of files of one folder, in words; [] where nothing is.

    The numbers that matter are the last in each name. Steps of 2 or more throughout are no gaps.
    """
    numbered = [(number, path) for path in paths if (number := _last_number(path)) is not None]
    if len(numbered) < 3 or len(numbered) < len(paths):
        return []
    numbers = [number for number, _ in numbered]
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    usual = min((step for step in steps if step > 0), default=1)
    return [
        f"{step // usual - (step % usual == 0)} missing between {before.name} and {after.name}"
        for step, (_, before), (_, after) in zip(steps, numbered, numbered[1:], strict=False)
        if step > usual
    ]


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


def _last_number(path: Path) -> int | None:
    found = _NUMBER.findall(path.stem)
    return int(found[-1]) if found else None
