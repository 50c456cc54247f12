"""Which frames of a film make the clip around a key frame, and at which size they are read."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

Frames = Int[np.ndarray, " frames"]


def around(centre: int, frames: int, stride: int, total: int) -> Frames:
    """`frames` frames, `stride` apart, around `centre`; beyond the film's ends its first and last
    frame repeat (STMixer)."""
    span = frames * stride
    return np.clip(np.arange(centre - span // 2, centre + span // 2, stride), 0, total - 1)


def middle(total: int, frames: int, stride: int, start: int | None = None) -> Frames:
    """`frames` frames, `stride` apart, from the middle of `total`; beyond both ends the nearest
    repeats (CycleACR). start: 0 to stride - 1, the training's draw; None: the middle of those."""
    first = (total - frames * stride) // 2 + ((stride - 1) // 2 if start is None else start)
    return np.clip(first + stride * np.arange(frames), 0, total - 1)


def evenly(total: int, fewer: int) -> Frames:
    """The slow pathway's frames among the fast one's: evenly from the first to the last, cut to
    integers, so not every (total / fewer)th (PySlowFast)."""
    return np.linspace(0, total - 1, total // fewer).astype(np.int64)


def slow_and_fast(
    total: int, slow_stride: int, ratio: int, start: int | None = None
) -> tuple[Frames, Frames]:
    """Frames of both pathways among `total` (CycleACR): the slow ones `slow_stride` apart, the fast
    ones `ratio` times as many. start: 0 to slow_stride - 1, the training's draw for the slow ones;
    None: the middle of those."""
    fast_stride = slow_stride // ratio
    first = (slow_stride - 1) // 2 if start is None else start
    slow = np.arange(first, total, slow_stride)[: total // slow_stride]
    fast = np.arange((fast_stride - 1) // 2, total, fast_stride)[: total // fast_stride]
    return slow, fast


def of_seconds(counts: Mapping[int, int], second: int, span: int) -> list[tuple[int, int]]:
    """(second, frame in it) around the first frame of `second`, where a film is cut into files of
    a second each (CycleACR).

    Whole files are taken on each side until it has span / 2 frames or there is no next file; the
    longer side is cut, so that the key frame stays in the middle. counts: frames of each file.
    """
    after: list[tuple[int, int]] = []
    before: list[tuple[int, int]] = []
    here = second
    while len(after) < span // 2 and here in counts:
        after += [(here, frame) for frame in range(counts[here])]
        here += 1
    here = second - 1
    while len(before) < span // 2 and here in counts:
        before = [(here, frame) for frame in range(counts[here])] + before
        here -= 1
    each = min(len(after), len(before))
    return before[len(before) - each :] + after[:each]


def bounded_size(
    height: int, width: int, short_side: int, longest: int | None = None
) -> tuple[int, int]:
    """(height, width) whose shorter side is `short_side`, smaller where the longer one would pass
    `longest`; the longer side is cut to whole pixels (CycleACR)."""
    short, long = min(height, width), max(height, width)
    if longest is not None and long / short * short_side > longest:
        short_side = round(longest * short / long)
    scaled = int(short_side * long / short)
    return (short_side, scaled) if height <= width else (scaled, short_side)


def rounded_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) whose shorter side is `short_side` and whose longer is rounded (STMixer)."""
    long = int(max(height, width) / min(height, width) * short_side + 0.5)
    return (short_side, long) if height <= width else (long, short_side)


def padded_size(sizes: Int[np.ndarray, "clips 2"], multiple: int) -> tuple[int, int]:
    """The least (height, width) that holds clips of all sizes, both multiples of `multiple`."""
    height, width = -(-np.max(sizes, axis=0) // multiple) * multiple
    return int(height), int(width)
