"""Frame sizes for clips of many shapes: few enough to compile, each clip padded by zeros alone.

The papers pad a process's clips to the largest of them, so a clip's answer depends on its
neighbours. Here a clip's size is a function of the clip: its own, rounded up to a multiple, or the
next larger one that is kept.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxvision.data.actions.clip_frames import padded_size
from jaxvision.errors import InputError

Size = tuple[int, int]  # height, width


class SizeBuckets(NamedTuple):
    """sizes: the padded (height, width) of each bucket, the smallest first.  bucket: of each clip.
    padded_up: how many clips are in a larger bucket than their own size rounded up."""

    sizes: tuple[Size, ...]
    bucket: tuple[int, ...]
    padded_up: int


def size_buckets(
    clips: Sequence[Size], multiple: int, most: int = 8, least: int = 1
) -> SizeBuckets:
    """At most `most` padded sizes for clips of (height, width), all multiples of `multiple`.

    While there are more, or one has fewer than `least` clips, the two sizes become one whose union
    adds the fewest pixels, counted by clips: rare sizes go first. InputError for no clips, and for
    one without a side.
    """
    if not clips:
        raise InputError("no clips to choose frame sizes for")
    if min(min(size) for size in clips) < 1:
        raise InputError(f"a clip of {min(clips)} pixels (height, width); expected at least 1")
    own = [padded_size(np.array([size]), multiple) for size in clips]
    counts = Counter(own)
    while len(counts) > most or (len(counts) > 1 and min(counts.values()) < least):
        _unite_cheapest(counts)
    sizes = sorted(counts, key=lambda size: (size[0] * size[1], size))
    bucket = tuple(
        next(i for i, size in enumerate(sizes) if size[0] >= h and size[1] >= w) for h, w in own
    )
    moved = sum(sizes[i] != size for i, size in zip(bucket, own, strict=True))
    return SizeBuckets(tuple(sizes), bucket, moved)


def _unite_cheapest(counts: Counter[Size]) -> None:
    """Make one size of two."""

    def united(a: Size, b: Size) -> Size:
        return max(a[0], b[0]), max(a[1], b[1])

    def added(pair: tuple[Size, Size]) -> tuple[int, tuple[Size, Size]]:
        height, width = united(*pair)
        return sum(counts[s] * (height * width - s[0] * s[1]) for s in pair), pair

    known = sorted(counts)
    a, b = min(((x, y) for i, x in enumerate(known) for y in known[:i]), key=added)
    total = counts.pop(a) + counts.pop(b)
    counts[united(a, b)] += total
