"""From detections frame by frame to tubes: soft suppression and greedy linking of the ACT paper.

A tubelet is K boxes of consecutive frames and one score. Everything is greedy and in an order that
is part of the published definition.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, kw_only=True)
class Linking:
    """suppression: mean overlap above which a worse tubelet's score is lowered.  kept: best
    tubelets of a start frame.  overlap: of a tubelet and the tube it continues, at least.
    score, length: a tube below either is dropped; length is in frames."""

    suppression: float = 0.6
    kept: int = 10
    overlap: float = 0.5
    score: float = 0.005
    length: int = 15


class Tube(NamedTuple):
    """rows: frame, x1, y1, x2, y2, score of the frame.  score: mean of the linked tubelets."""

    rows: Float[np.ndarray, "frames 6"]
    score: float


@dataclass
class _Linked:
    """A tube in the making: starts, boxes [k, 4] and scores of its tubelets."""

    starts: list[int]
    boxes: list[np.ndarray]
    scores: list[np.floating]

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))


def box_area(boxes: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n"]:
    """Pixels of boxes x1, y1, x2, y2 with inclusive borders."""
    return (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)


def box_iou(a: Float[np.ndarray, "*n 4"], b: Float[np.ndarray, "*m 4"]) -> np.ndarray:
    """Intersection over union of boxes with inclusive borders; leading axes broadcast."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    sides = np.maximum(0, high - low + 1)
    common = sides[..., 0] * sides[..., 1]
    return common / (box_area(a) + box_area(b) - common)


def suppress_softly(
    boxes: Float[np.ndarray, "n k 4"], scores: Float[np.ndarray, " n"], overlap: float
) -> Float[np.ndarray, " n"]:
    """Scores, lowered where a tubelet overlaps a better one by more than `overlap` in the mean.

    The best one left (of equals the later) lowers the others, by 1 minus the SUM of overlaps over
    the K boxes (it may get negative, as published); they then lower no other.
    """
    k = boxes.shape[1]
    scores = scores.copy()
    left = np.argsort(scores, kind="stable")
    while len(left):
        best, left = left[-1], left[:-1]
        overlaps = box_iou(boxes[left], boxes[best]).sum(axis=1)
        lowered = overlaps > overlap * k
        scores[left[lowered]] *= 1 - overlaps[lowered]
        left = left[~lowered]
    return scores


def link_tubes(
    starts: Int[np.ndarray, " n"],
    boxes: Float[np.ndarray, "n k 4"],
    scores: Float[np.ndarray, " n"],
    frames: int,
    settings: Linking | None = None,
) -> list[Tube]:
    """Tubes of one video and label. starts: first frames of the tubelets, from 1.  frames: of the
    video. Ended tubes come first, in the order in which they ended."""
    settings = settings or Linking()
    k = boxes.shape[1]
    open_tubes: list[_Linked] = []
    ended: list[_Linked] = []
    for start in range(1, frames - k + 2):
        # 1. The best tubelets that start here.
        rows = np.flatnonzero(starts == start)
        lowered = suppress_softly(boxes[rows], scores[rows], settings.suppression)
        order = np.argsort(-lowered, kind="stable")[: settings.kept]
        here, worth, free = boxes[rows[order]], lowered[order], list(range(len(order)))
        # 2. Each open tube, by descending score, takes the best of those that continue it.
        open_tubes.sort(key=lambda tube: -tube.score)
        over = []
        for place, tube in enumerate(open_tubes):
            overlaps = _continuation(tube, start, here[free])
            valid = np.flatnonzero(overlaps >= settings.overlap)
            if len(valid):
                chosen = free.pop(int(valid[np.argmax(worth[free][valid])]))
                tube.starts.append(start)
                tube.boxes.append(here[chosen])
                tube.scores.append(worth[chosen])
            elif start - tube.starts[-1] >= k:
                over.append(place)
        # 3. Tubes without boxes on this frame end; what is left starts tubes.
        for place in reversed(over):
            ended.append(open_tubes.pop(place))
        open_tubes += [_Linked([start], [here[n]], [worth[n]]) for n in free]
    made = [
        tube
        for tube in ended + open_tubes
        if tube.score >= settings.score and tube.starts[-1] - tube.starts[0] + k >= settings.length
    ]
    return [Tube(_averaged(tube, k), tube.score) for tube in made]


def _continuation(tube: _Linked, start: int, boxes: Float[np.ndarray, "n k 4"]) -> np.ndarray:
    """Mean overlap of tubelets with the tube's last one on the frames that they share; where they
    share none, of their first box with its last."""
    last, offset, k = tube.boxes[-1], start - tube.starts[-1], boxes.shape[1]
    if offset >= k:
        return box_iou(boxes[:, 0], last[-1])
    return box_iou(boxes[:, : k - offset], last[offset:]).mean(axis=1)


def _averaged(tube: _Linked, k: int) -> Float[np.ndarray, "frames 6"]:
    """Boxes and scores of every frame, averaged over the tubelets that cover it."""
    first = tube.starts[0]
    rows = np.zeros((tube.starts[-1] - first + k, 6), np.float32)
    rows[:, 0] = first + np.arange(len(rows))
    covered = np.zeros((len(rows), 1), np.float32)
    for start, boxes, score in zip(tube.starts, tube.boxes, tube.scores, strict=True):
        here = slice(start - first, start - first + k)
        rows[here, 1:5] += boxes
        rows[here, 5] += score
        covered[here] += 1
    rows[:, 1:] /= covered
    return rows
