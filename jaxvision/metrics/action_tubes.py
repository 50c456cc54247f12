"""Frame-mAP and video-mAP of UCF101-24 and JHMDB, as the ACT evaluation computes them.

Boxes are pixels with inclusive borders: a side is x2 - x1 + 1. Precision and recall are float32, as
published. The published program's sort is not stable, and equal scores are the rule (a tubelet
gives its score to each of its frames); here every order of equals is defined.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvision.metrics.tube_linking import Linking, Tube, box_iou, link_tubes, suppress_softly

TUBE_OVERLAP = 0.3  # of two tubes of a label, above which the lower scored is dropped
VIDEO_THRESHOLDS = tuple(np.arange(0.5, 0.96, 0.05).tolist())  # of the mean over thresholds
TruthTubes = Mapping[int, Sequence[Float[np.ndarray, "frames 5"]]]  # by label


class Tubelets(NamedTuple):
    """Detections of K frames in a row, in the detector's order. K is 1 for a detector of frames.

    video: number in the list of videos.  start: first frame, from 1.  label: from 0.
    boxes: x1, y1, x2, y2 in pixels.
    """

    video: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n k 4"]
    score: Float[np.ndarray, " n"]


class FrameDetections(NamedTuple):
    """One row for every frame of every tubelet, in the order that decides ties: video, frame,
    start of the tubelet, label, the detector's order."""

    video: Int[np.ndarray, " m"]
    frame: Int[np.ndarray, " m"]
    label: Int[np.ndarray, " m"]
    score: Float[np.ndarray, " m"]
    box: Float[np.ndarray, "m 4"]


def frame_detections(tubelets: Tubelets, overlap: float = 0.6) -> FrameDetections:
    """Every tubelet's box on each of its frames; within a frame and label, scores of boxes that
    overlap a better one by more than `overlap` are lowered."""
    n, k = tubelets.boxes.shape[:2]
    rows = np.repeat(np.arange(n), k)
    frame = (tubelets.start[:, None] + np.arange(k)).reshape(-1)
    by_frame = (tubelets.label[rows], tubelets.start[rows], frame, tubelets.video[rows])
    order = np.lexsort((rows, *by_frame))
    rows, frame = rows[order], frame[order]
    box = tubelets.boxes.reshape(-1, 4)[order]
    video, label = tubelets.video[rows], tubelets.label[rows]
    score = tubelets.score[rows].copy()
    for group in _groups(video, frame, label):
        score[group] = suppress_softly(box[group][:, None], score[group], overlap)
    return FrameDetections(video, frame, label, score, box)


def frame_average_precision(
    truth: Sequence[TruthTubes], found: FrameDetections, labels: int, threshold: float
) -> Float[np.ndarray, " labels"]:
    """Average precision of each label over all frames, 0 to 1. truth: of each video.

    A detection takes the best of the truths of its frame that are still free, so it may have a
    second choice. A label without truth is 0.
    """
    answers = []
    for label in range(labels):
        free: dict[tuple[int, int], list[np.ndarray]] = {}
        for video, tubes in enumerate(truth):
            for tube in tubes.get(label, ()):
                for row in tube:
                    free.setdefault((video, int(row[0])), []).append(row[1:])
        positives = sum(len(boxes) for boxes in free.values())
        rows = np.flatnonzero(found.label == label)
        rows = rows[np.argsort(-found.score[rows], kind="stable")]
        hit = np.zeros(len(rows), bool)
        for place, row in enumerate(rows):
            boxes = free.get((int(found.video[row]), int(found.frame[row])))
            if boxes:
                overlap = box_iou(np.stack(boxes), found.box[row])
                best = int(np.argmax(overlap))
                if overlap[best] >= threshold:
                    hit[place] = True
                    del boxes[best]
        answers.append(_area_under_points(hit, positives))
    return np.array(answers)


def tubes_of_video(
    tubelets: Tubelets, video: int, labels: int, frames: int, settings: Linking | None = None
) -> dict[int, list[Tube]]:
    """Tubes of one video by label, linked from its tubelets. frames: of the video."""
    answers = {}
    for label in range(labels):
        rows = np.flatnonzero((tubelets.video == video) & (tubelets.label == label))
        chosen = (tubelets.start[rows], tubelets.boxes[rows], tubelets.score[rows])
        answers[label] = link_tubes(*chosen, frames, settings)
    return answers


def video_average_precision(
    truth: Sequence[TruthTubes],
    found: Sequence[Mapping[int, Sequence[Tube]]],
    labels: int,
    threshold: float,
) -> Float[np.ndarray, " labels"]:
    """Average precision of each label over all tubes, 0 to 1.

    truth: of each video.  found: tubes of each video by label (`tubes_of_video`).
    A tube takes the best of the true tubes of its video that are still free.
    """
    answers = []
    for label in range(labels):
        free = [list(tubes.get(label, ())) for tubes in truth]
        positives = sum(len(tubes) for tubes in free)
        kept = [
            (video, tube)
            for video, tubes in enumerate(found)
            for tube in keep_best_tubes(tubes.get(label, ()))
        ]
        order = np.argsort([-tube.score for _, tube in kept], kind="stable")
        hit = np.zeros(len(kept), bool)
        for place, number in enumerate(order):
            video, tube = kept[number]
            if free[video]:
                overlap = [tube_iou(true, tube.rows) for true in free[video]]
                best = int(np.argmax(overlap))
                if overlap[best] >= threshold:
                    hit[place] = True
                    del free[video][best]
        answers.append(_area_under_points(hit, positives))
    return np.array(answers)


def keep_best_tubes(tubes: Sequence[Tube], overlap: float = TUBE_OVERLAP) -> list[Tube]:
    """Tubes by descending score (of equals the later first), without those that overlap a better
    one by more than `overlap`."""
    left = [tubes[n] for n in np.argsort([tube.score for tube in tubes], kind="stable")]
    kept = []
    while left:
        best = left.pop()
        kept.append(best)
        left = [tube for tube in left if tube_iou(tube.rows, best.rows) <= overlap]
    return kept


def tube_iou(a: Float[np.ndarray, "n c"], b: Float[np.ndarray, "m c"]) -> float:
    """Mean overlap of boxes on the common frames, times common frames over the frames from the
    first to the last of both. Rows: frame, x1, y1, x2, y2, and more that is not read."""
    first, last = max(a[0, 0], b[0, 0]), min(a[-1, 0], b[-1, 0])
    if last < first:
        return 0.0
    common = [rows[int(first - rows[0, 0]) : int(last - rows[0, 0]) + 1, 1:5] for rows in (a, b)]
    span = max(a[-1, 0], b[-1, 0]) - min(a[0, 0], b[0, 0]) + 1
    return float(np.mean(box_iou(*common)) * (last - first + 1) / span)


def _groups(*keys: np.ndarray) -> list[np.ndarray]:
    """Rows of every combination of keys, in their order."""
    if not len(keys[0]):
        return []
    order = np.lexsort(keys)
    changes = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    return np.split(order, np.flatnonzero(changes) + 1)


def _area_under_points(hit: Bool[np.ndarray, " n"], positives: int) -> float:
    """Area of trapezoids between the points (recall, precision) from (0, 1) on: no envelope.

    hit: of detections in descending score.  positives: of the truth.
    """
    right = np.cumsum(hit)
    precision = np.ones(len(hit) + 1, np.float32)
    recall = np.zeros(len(hit) + 1, np.float32)
    precision[1:] = right / np.arange(1, len(hit) + 1)
    recall[1:] = right / max(positives, 1)
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) * 0.5))
