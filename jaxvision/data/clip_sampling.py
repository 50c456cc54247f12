"""Which frames of a video make a clip: the rules of VideoMAE's data sets.

Every function returns 0-based frame numbers and takes its draw as an argument; the draw's range is
in the docstring. A span is frames x stride.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

Frames = Int[np.ndarray, " frames"]


def pretraining_starts(total: int, frames: int, stride: int) -> int:
    """How many places a pretraining clip may start at: 0 .. this - 1."""
    return max(total - frames * stride, 0) + 1


def pretraining_clip(total: int, frames: int, stride: int, start: int) -> Frames:
    """Every `stride`-th frame from `start`; once another step would reach the last frame, that
    frame again (short videos)."""
    steps = np.arange(frames) * stride
    furthest = (total - 2 - start) // stride * stride
    return start + np.minimum(steps, max(furthest, 0))


def dense_training_clip(total: int, frames: int, stride: int, end: int) -> Frames:
    """`frames` frames spread over the span that ends at `end`, in [span, total - 1].

    The spacing is span/(frames - 1), not exactly the stride. Where the span does not fit, the
    whole video at its stride, then its last frame repeated, whatever `end`.
    """
    span = frames * stride
    if total <= span:
        spread = np.linspace(0, total, min(total // stride, frames))
        spread = np.concatenate([spread, np.full(frames - len(spread), total)])
        return np.clip(spread, 0, total - 1).astype(np.int64)
    start = end - span
    return np.clip(np.linspace(start, end, frames), start, end - 1).astype(np.int64)


def dense_validation_clip(total: int, frames: int, stride: int) -> Frames:
    """The training clip in the middle of the video."""
    return dense_training_clip(total, frames, stride, end=(frames * stride + total) // 2)


def segment_clip(total: int, frames: int, offsets: Sequence[int] | Frames | None = None) -> Frames:
    """One frame of each of `frames` equal segments.

    offsets: place in each segment, in [0, total // frames); None for the middle. A video of fewer
    frames repeats its first.
    """
    length = total // frames
    if length == 0:
        return np.concatenate([np.zeros(frames - total, np.int64), np.arange(total)])
    place = length // 2 if offsets is None else np.asarray(offsets)
    return np.arange(frames) * length + place


def dense_test_clips(
    total: int, frames: int, stride: int, segments: int
) -> Int[np.ndarray, "segments frames"]:
    """`segments` clips of every `stride`-th frame, their starts spread evenly over the video.

    A video too short repeats its last strided frame. One segment starts in the middle.
    """
    strided = np.arange(0, total, stride)
    strided = np.concatenate([strided, np.full(max(frames - len(strided), 0), strided[-1])])
    spare = len(strided) - frames
    if segments == 1:
        starts = np.array([spare // 2])
    else:
        starts = (np.arange(segments) * (spare / (segments - 1))).astype(np.int64)
    return strided[starts[:, None] + np.arange(frames)]


def sparse_test_clips(total: int, frames: int, segments: int) -> Int[np.ndarray, "segments frames"]:
    """`segments` interleaved clips, each spread over the whole video."""
    tick = total / frames
    phase, place = np.arange(segments)[:, None], np.arange(frames)
    together = np.sort((phase * tick / segments + tick * place).astype(np.int64), axis=None)
    return together.reshape(frames, segments).T


def window_starts(total: int, frames: int, step: int) -> Int[np.ndarray, " windows"]:
    """Starts of the windows of consecutive frames that features for temporal detection come from;
    none where the video is shorter than a window."""
    return np.arange(0, total - frames + 1, step)
