"""Curves over 101 recalls and what is read off them, as the nuScenes devkit does it."""

import numpy as np
from jaxtyping import Bool, Float

RECALLS = 101
Curve = Float[np.ndarray, " 101"]


def _over_recall(
    hit: Bool[np.ndarray, " n"], values: Float[np.ndarray, " n"], positives: int
) -> Curve:
    """Values after each prediction, at the recalls 0, 0.01 .. 1: linear between, at a recall that
    occurs several times the last of them, 0 beyond the largest."""
    recall = np.cumsum(hit).astype(float) / positives
    return np.interp(np.linspace(0, 1, RECALLS), recall, values, right=0)


def precision_curve(hit: Bool[np.ndarray, " n"], positives: int) -> Curve:
    """hit: of predictions in descending score.  positives: boxes of the truth."""
    total = np.cumsum(hit).astype(float)
    return _over_recall(hit, total / np.arange(1, len(hit) + 1), positives)


def confidence_curve(
    hit: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"], positives: int
) -> Curve:
    """The score at which each recall is reached."""
    return _over_recall(hit, scores, positives)


def running_mean(values: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Mean of the numbers so far, 0 before the first; all ones where every value is NaN."""
    known = ~np.isnan(values)
    if not known.any():
        return np.ones(len(values))
    return np.cumsum(np.where(known, values, 0)) / np.maximum(np.cumsum(known), 1)


def error_curve(
    errors: Float[np.ndarray, " m"], scores: Float[np.ndarray, " m"], confidence: Curve
) -> Curve:
    """Running mean of the matches' errors, looked up at the confidence of each recall."""
    mean = running_mean(errors)
    return np.interp(confidence[::-1], scores[::-1], mean[::-1])[::-1]


def average_precision(precision: Curve, min_recall: float, min_precision: float) -> float:
    """Mean precision above both minima, scaled to 1 at best."""
    above = precision[round(100 * min_recall) + 1 :] - min_precision
    return float(np.mean(np.maximum(above, 0))) / (1 - min_precision)


def mean_error(error: Curve, confidence: Curve, min_recall: float) -> float:
    """Mean error from the minimum recall to the largest reached; 1 where that is not reached."""
    first = round(100 * min_recall) + 1
    reached = np.flatnonzero(confidence)
    last = int(reached[-1]) if len(reached) else 0
    return float(np.mean(error[first : last + 1])) if last >= first else 1.0
