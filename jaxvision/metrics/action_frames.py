"""AVA's average precision: which actions which person performs, key frame by key frame.

Host code in float64, after the ActivityNet challenge's program. Its versions, and the papers' own
programs, differ in two rules that must be named beside a number (`Rules`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which detections count.

    iou: a detection below it is wrong.  capacity: so many of the best of a key frame, over all
    classes, are kept; None keeps all, as STMixer, CycleACR and published results do; the challenge
    keeps 50.  unmentioned: detections in key frames that the truth does not mention are "wrong"
    (2019, with a list of excluded seconds) or "ignored" (since 2020, whose truth also has rows for
    key frames without people).
    """

    iou: float = 0.5
    capacity: int | None = None
    unmentioned: str = "wrong"


class FrameBoxes(NamedTuple):
    """One row for every box and label. frame: number of the key frame.  box: x1, y1, x2, y2.
    label: id of the class.  score: not read of the truth.  The order decides between equal scores.
    """

    frame: Int[np.ndarray, " n"]
    box: Float[np.ndarray, "n 4"]
    label: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]

    def rows(self, chosen: np.ndarray) -> "FrameBoxes":
        """The boxes of some rows (or of a mask)."""
        return FrameBoxes(*(column[chosen] for column in self))


def average_precisions(
    truth: FrameBoxes,
    detections: FrameBoxes,
    labels: Sequence[int],
    *,
    rules: Rules | None = None,
    excluded: Collection[int] = (),
    mentioned: Collection[int] | None = None,
) -> Float[np.ndarray, " k"]:
    """Average precision of each of `labels`, 0 to 1; NaN where a class has no truth.

    Rows of other labels and of excluded key frames are left out on both sides. mentioned: key
    frames that the truth knows, with people or not (None: those with people).
    """
    rules = rules or Rules()
    if mentioned is None:
        mentioned = set(truth.frame.tolist())
    truth = truth.rows(np.isin(truth.label, labels) & ~_within(truth.frame, excluded))
    detections = detections.rows(np.isin(detections.label, labels))
    detections = _ordered(detections, rules.capacity)
    kept = ~_within(detections.frame, excluded) & _has_area(detections.box)
    if rules.unmentioned == "ignored":
        kept &= _within(detections.frame, mentioned)
    detections = detections.rows(kept)
    return np.array(
        [
            _of_class(
                truth.rows(truth.label == label),
                detections.rows(detections.label == label),
                rules.iou,
            )
            for label in labels
        ]
    )


def mean_average_precision(precisions: Float[np.ndarray, " k"]) -> float:
    """Mean over the classes that have truth; NaN where none has."""
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else float("nan")


def never_met(
    truth: FrameBoxes, detections: FrameBoxes, labels: Sequence[int]
) -> dict[str, list[int]]:
    """What one side has and the other lacks: a wrong label map or wrong seconds show here, where
    the average precision is only low.

    `labels_without_truth`, `labels_never_detected`: ids. `frames_without_truth`,
    `frames_without_detections`: numbers of key frames.
    """
    of_truth, found = (set(rows.label.tolist()) & set(labels) for rows in (truth, detections))
    true_frames, found_frames = (set(rows.frame.tolist()) for rows in (truth, detections))
    return {
        "labels_without_truth": sorted(set(labels) - of_truth),
        "labels_never_detected": sorted(of_truth - found),
        "frames_without_truth": sorted(found_frames - true_frames),
        "frames_without_detections": sorted(true_frames - found_frames),
    }


def _within(frames: Int[np.ndarray, " n"], some: Collection[int]) -> Bool[np.ndarray, " n"]:
    return np.isin(frames, np.fromiter(some, np.int64, len(some)))


def _has_area(boxes: Float[np.ndarray, "n 4"]) -> Bool[np.ndarray, " n"]:
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _ordered(detections: FrameBoxes, capacity: int | None) -> FrameBoxes:
    """Key frames in the order of their first row, each by descending score (of equals the later
    row first), cut to `capacity`."""
    _, first, inverse = np.unique(detections.frame, return_index=True, return_inverse=True)
    place = first[inverse.reshape(-1)]
    order = np.lexsort((-np.arange(len(place)), -detections.score, place))
    detections = detections.rows(order)
    if capacity is None:
        return detections
    place = place[order]
    rank = np.arange(len(place)) - np.searchsorted(place, place)
    return detections.rows(rank < capacity)


def _of_class(truth: FrameBoxes, found: FrameBoxes, threshold: float) -> float:
    """Average precision of one class; `found` is in the order of `_ordered`."""
    if not len(truth.frame):
        return float("nan")
    hit = _hits(truth, found, threshold)
    order = np.argsort(found.score, kind="stable")[::-1]
    return _area_under_envelope(hit[order], len(truth.frame))


def _hits(truth: FrameBoxes, found: FrameBoxes, threshold: float) -> Bool[np.ndarray, " n"]:
    """Each detection looks only at the truth that it overlaps most (the first of equals); the
    first one of those over the threshold that look at the same truth is right."""
    truth = truth.rows(np.argsort(truth.frame, kind="stable"))
    start = np.searchsorted(truth.frame, found.frame, "left")
    count = np.searchsorted(truth.frame, found.frame, "right") - start
    hit = np.zeros(len(found.frame), bool)
    rows = np.flatnonzero(count)
    if not len(rows):
        return hit
    # 1. Every pair of a detection and a truth of its key frame, detection by detection.
    count, begins = count[rows], np.cumsum(count[rows]) - count[rows]
    of_truth = np.arange(count.sum()) + np.repeat(start[rows] - begins, count)
    overlap = iou(np.repeat(found.box[rows], count, axis=0), truth.box[of_truth])
    # 2. The best of each detection, the first of equals.
    best = np.maximum.reduceat(overlap, begins)
    at_best = np.flatnonzero(overlap == np.repeat(best, count))
    chosen = of_truth[at_best[np.searchsorted(at_best, begins)]]
    # 3. The first detection of every truth.
    over = np.flatnonzero(best >= threshold)
    _, first = np.unique(chosen[over], return_index=True)
    hit[rows[over[first]]] = True
    return hit


def iou(a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """Intersection over union, row by row; 0 where both boxes are empty."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    union = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _area_under_envelope(hit: Bool[np.ndarray, " n"], positives: int) -> float:
    """Area under precision over recall, precision made non-increasing from the right.

    hit: of detections in descending score.  positives: boxes of the truth.
    """
    if not len(hit):
        return 0.0
    right = np.cumsum(hit)
    precision = right / np.arange(1, len(hit) + 1)
    recall = np.concatenate([[0.0], right / positives])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))
