"""Intersection over union of semantic segmentation, as three published programs count it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def confusion_matrix(
    predicted: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"], classes: int
) -> Int[np.ndarray, "{classes} {classes}"]:
    """Counts, rows prediction, columns truth. ValueError for a label outside [0, classes)."""
    predicted, truth = np.asarray(predicted).ravel(), np.asarray(truth).ravel()
    if predicted.shape != truth.shape:
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} labels")
    for name, labels in (("prediction", predicted), ("label", truth)):
        if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
            raise ValueError(f"a {name} outside 0 to {classes - 1}")
    index = predicted.astype(np.int64) * classes + truth.astype(np.int64)
    return np.bincount(index, minlength=classes**2).reshape(classes, classes)


def semantickitti_iou(
    confusion: Int[np.ndarray, "k k"], ignore: Sequence[int] = (0,)
) -> dict[str, np.ndarray | float]:
    """The official program's: points whose truth is ignored are dropped; a class that never occurs
    scores 0 and counts. `iou` of all classes, `miou` and `acc` over those not ignored."""
    counts = np.array(confusion, np.float64)
    counts[:, list(ignore)] = 0
    included = [k for k in range(len(counts)) if k not in ignore]
    hits = np.diag(counts)
    found, true = counts.sum(axis=1), counts.sum(axis=0)
    iou = hits / (found + true - hits + 1e-15)
    accuracy = hits[included].sum() / (found[included].sum() + 1e-15)
    return {"iou": iou, "miou": float(iou[included].mean()), "acc": float(accuracy)}


def nuscenes_iou(confusion: Int[np.ndarray, "k k"]) -> dict[str, np.ndarray | float]:
    """The devkit's: class 0 is cleared on both sides; a class absent from both is NaN and left out
    of `miou`. `freq_weighted_iou` weighs by share of the truth. `confusion`: rows truth."""
    counts = np.array(confusion, np.int64).T
    counts[0], counts[:, 0] = 0, 0
    hits, true = np.diag(counts).astype(np.float64), counts.sum(axis=1)
    union = true + counts.sum(axis=0) - hits
    iou = np.full(len(counts), np.nan)
    np.divide(hits, union, out=iou, where=union > 0)
    share = true / max(true.sum(), 1)
    seen = union > 0
    return {
        "iou_per_class": iou,
        "miou": float(iou[seen].mean()) if seen.any() else float("nan"),
        "freq_weighted_iou": float((share[seen] * iou[seen]).sum()),
        "confusion": counts,
    }


class MeanIoU:
    """LinK's count while training: points of the ignored class are dropped, points with a label
    outside the classes are not (their predictions count as wrong), and a class without truth scores
    1. The classes are all but the ignored one; class 0 may be predicted and is then just wrong."""

    def __init__(self, classes: int, ignore: int = 0):
        self._classes, self._ignore = classes, ignore
        self._of = [k for k in range(classes) if k != ignore]
        self.seen, self.correct, self.positive = np.zeros((3, len(self._of)), np.int64)

    def add(self, predicted: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"]) -> None:
        """Count a batch of points."""
        keep = truth != self._ignore
        predicted, truth = predicted[keep].astype(np.int64), truth[keep].astype(np.int64)

        def count(labels: np.ndarray) -> np.ndarray:
            inside = labels[(labels >= 0) & (labels < self._classes)]
            return np.bincount(inside, minlength=self._classes)[self._of]

        self.seen += count(truth)
        self.positive += count(predicted)
        self.correct += count(predicted[predicted == truth])

    def result(self) -> dict[str, np.ndarray | float]:
        """`iou` by class, `miou`, mean class accuracy `macc`, overall accuracy `oacc`; 0 to 1."""
        union = self.seen + self.positive - self.correct
        absent = self.seen == 0
        iou = np.where(absent, 1.0, self.correct / np.maximum(union, 1))
        accuracy = np.where(absent, 1.0, self.correct / np.maximum(self.seen, 1))
        return {
            "iou": iou,
            "miou": float(iou.mean()),
            "macc": float(accuracy.mean()),
            "oacc": float(self.correct.sum() / max(self.seen.sum(), 1)),
        }
