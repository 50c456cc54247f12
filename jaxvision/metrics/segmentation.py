"""Intersection over union of semantic segmentation, as three published programs count it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int


def confusion_matrix(
    predicted: Int[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    classes: int,
    unknown: bool = False,
) -> Int[np.ndarray, "{classes} columns"]:
    """Counts, rows prediction, columns truth. ValueError for a label outside [0, classes).

    unknown: a last column counts points whose truth is outside the classes instead.
    """
    predicted, truth = np.asarray(predicted).ravel(), np.asarray(truth).ravel()
    if predicted.shape != truth.shape:
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} labels")
    columns = classes + unknown
    if unknown:
        truth = np.where((truth < 0) | (truth >= classes), classes, truth)
    for name, labels, limit in (("prediction", predicted, classes), ("label", truth, columns)):
        if len(labels) and not (labels.min() >= 0 and labels.max() < limit):
            raise ValueError(f"a {name} outside 0 to {classes - 1}")
    index = predicted.astype(np.int64) * columns + truth.astype(np.int64)
    return np.bincount(index, minlength=classes * columns).reshape(classes, columns)


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


def link_iou(confusion: Int[np.ndarray, "k columns"], ignore: int = 0) -> dict[str, Any]:
    """LinK's count while training, over all classes but `ignore`.

    Points whose truth is `ignore` are dropped. Points of unknown labels are not: their column
    stands behind the classes' and makes their predictions wrong. A class without truth scores 1.
    Gives `seen`, `correct`, `positive`, `iou` by class, `miou`, mean class accuracy `macc`, overall
    accuracy `oacc` (0 to 1).
    """
    counts = np.array(confusion, np.int64)
    classes = len(counts)
    counts[:, ignore] = 0
    of = [k for k in range(classes) if k != ignore]
    seen, correct = counts.sum(axis=0)[of], np.diag(counts[:, :classes])[of]
    positive = counts.sum(axis=1)[of]
    absent = seen == 0
    iou = np.where(absent, 1.0, correct / np.maximum(seen + positive - correct, 1))
    accuracy = np.where(absent, 1.0, correct / np.maximum(seen, 1))
    return {
        "seen": seen,
        "correct": correct,
        "positive": positive,
        "iou": iou,
        "miou": float(iou.mean()),
        "macc": float(accuracy.mean()),
        "oacc": float(correct.sum() / max(int(seen.sum()), 1)),
    }
