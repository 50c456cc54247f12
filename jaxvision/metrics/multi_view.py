"""One answer per video from the answers to its views (segments x crops)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from jaxvision.metrics.segmentation import confusion_matrix

# What is averaged over views: probabilities, or logits.
MERGES = ("prob", "score")


def video_scores(
    logits: Float[np.ndarray, "views classes"], merge: str = "prob"
) -> Float[np.ndarray, " classes"]:
    """The mean over views, float64."""
    logits = np.asarray(logits, np.float64)
    return np.mean(softmax(logits, axis=-1) if merge == "prob" else logits, axis=0)


def top_k(
    scores: Float[np.ndarray, "videos classes"], labels: Int[np.ndarray, " videos"], k: int
) -> float:
    """Share of videos whose label is among the k largest scores, in [0, 1]."""
    k = min(k, scores.shape[-1])
    largest = np.argsort(-scores, axis=-1, kind="stable")[:, :k]
    return float(np.mean(np.any(largest == labels[:, None], axis=-1)))


def collect_views(
    total: Any, outputs: Mapping[str, np.ndarray], index: np.ndarray, bucket: str
) -> Any:
    """Keep each view's `logits` and `label` by its `video` and `view`.

    A view that comes twice counts once, so the result depends neither on padding nor on batches.
    """
    total = {} if total is None else total
    for row in range(len(index)):
        views, _ = total.setdefault(int(outputs["video"][row]), ({}, int(outputs["label"][row])))
        views.setdefault(int(outputs["view"][row]), outputs["logits"][row])
    return total


def multi_view_accuracy(total: Mapping[int, tuple], merge: str = "prob") -> dict[str, float]:
    """`top1` and `top5` in [0, 1], over the videos that `collect_views` kept."""
    scores, labels = _merged(total, merge)
    return {"top1": top_k(scores, labels, 1), "top5": top_k(scores, labels, 5)}


def confusion_of_views(
    total: Mapping[int, tuple], merge: str = "prob"
) -> Int[np.ndarray, "classes classes"]:
    """How many videos of each class (rows) were taken for which (columns); those without a label
    (below 0) are in no row."""
    scores, labels = _merged(total, merge)
    known = labels >= 0
    return confusion_matrix(np.argmax(scores[known], axis=-1), labels[known], scores.shape[-1]).T


def probabilities_of_videos(
    total: Mapping[int, tuple], merge: str = "prob"
) -> tuple[
    Float[np.ndarray, "videos classes"], Int[np.ndarray, " videos"], Int[np.ndarray, " videos"]
]:
    """(probabilities, label, number) of each video, in order of the numbers."""
    scores, labels = _merged(total, merge)
    scores = scores if merge == "prob" else softmax(scores, axis=-1)
    return scores, labels, np.array(sorted(total))


def class_recalls(counts: Int[np.ndarray, "k k"]) -> Float[np.ndarray, " k"]:
    """Share of each class (rows) that was named right; NaN for a class without samples."""
    with np.errstate(invalid="ignore"):
        return np.diag(counts) / counts.sum(axis=1)


def _merged(
    total: Mapping[int, tuple], merge: str
) -> tuple[Float[np.ndarray, "videos classes"], Int[np.ndarray, " videos"]]:
    """(scores, label) of each video, in order."""
    videos = [total[number] for number in sorted(total)]
    scores = np.stack(
        [video_scores(np.stack([views[v] for v in sorted(views)]), merge) for views, _ in videos]
    )
    return scores, np.array([label for _, label in videos])
