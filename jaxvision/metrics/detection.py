"""nuScenes detection: AP by centre distance, true-positive errors, NDS (detection_cvpr_2019).

Boxes are in the global frame. Everything is float64 on the host; ties follow the devkit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvision.metrics.detection_curves import (
    RECALLS,
    average_precision,
    confidence_curve,
    error_curve,
    mean_error,
    precision_curve,
)
from jaxvision.ops.quaternions import heading, rotation_matrix

CLASSES = (
    "car",
    "truck",
    "bus",
    "trailer",
    "construction_vehicle",
    "pedestrian",
    "motorcycle",
    "bicycle",
    "traffic_cone",
    "barrier",
)
RANGES = MappingProxyType(
    dict.fromkeys(CLASSES[:5], 50.0)
    | dict.fromkeys(CLASSES[5:8], 40.0)
    | dict.fromkeys(CLASSES[8:], 30.0)
)
ERRORS = ("trans_err", "scale_err", "orient_err", "vel_err", "attr_err")
# What a class has no sensible value of.
UNDEFINED = MappingProxyType(
    {"traffic_cone": ("orient_err", "vel_err", "attr_err"), "barrier": ("vel_err", "attr_err")}
)
HALF_TURN = ("barrier",)  # classes that look the same from both ends
MAP_WEIGHT = 5.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """classes, with the radius (m) within which each counts; distances: thresholds of the AP.
    matched: the one of the true-positive errors."""

    classes: tuple[str, ...] = CLASSES
    ranges: Mapping[str, float] = field(default_factory=lambda: RANGES)
    distances: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    matched: float = 2.0
    min_recall: float = 0.1
    min_precision: float = 0.1


class EvaluatedBoxes(NamedTuple):
    """Boxes of all samples, one row each, in the order that decides ties.

    sample: number of the sample.  size: width, length, height.  rotation: quaternion w, x, y, z.
    velocity: NaN where unknown.  label: number of the class.  attribute: a number, -1 for none.
    points: lidar and radar points inside; -1 for predictions.  score: 0 for truth.
    """

    sample: Int[np.ndarray, " n"]
    translation: Float[np.ndarray, "n 3"]
    size: Float[np.ndarray, "n 3"]
    rotation: Float[np.ndarray, "n 4"]
    velocity: Float[np.ndarray, "n 2"]
    label: Int[np.ndarray, " n"]
    attribute: Int[np.ndarray, " n"]
    points: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]

    def rows(self, chosen: np.ndarray) -> "EvaluatedBoxes":
        """The boxes of some rows (or of a mask)."""
        return EvaluatedBoxes(*(column[chosen] for column in self))


class BikeRacks(NamedTuple):
    """Bicycle racks: parked cycles inside them do not count."""

    sample: Int[np.ndarray, " n"]
    translation: Float[np.ndarray, "n 3"]
    size: Float[np.ndarray, "n 3"]
    rotation: Float[np.ndarray, "n 4"]


def filter_boxes(
    boxes: EvaluatedBoxes,
    ego: Float[np.ndarray, "s 3"],
    racks: BikeRacks,
    settings: Settings,
) -> Bool[np.ndarray, " n"]:
    """Which boxes count: within their class's radius of the vehicle, with a point inside, and no
    cycle whose centre lies in a rack of its sample. ego: the vehicle's place of every sample."""
    offset = boxes.translation[:, :2] - ego[boxes.sample][:, :2]
    radius = np.array([settings.ranges[name] for name in settings.classes])
    kept = (np.sqrt(np.sum(offset**2, axis=1)) < radius[boxes.label]) & (boxes.points != 0)
    cycles = [n for n, name in enumerate(settings.classes) if name in ("bicycle", "motorcycle")]
    turned = rotation_matrix(racks.rotation) if len(racks.sample) else np.zeros((0, 3, 3))
    for row in np.flatnonzero(kept & np.isin(boxes.label, cycles)):
        for rack in np.flatnonzero(racks.sample == boxes.sample[row]):
            # Edges of the rack from one of its corners; borders are inside.
            width, length, height = racks.size[rack]
            edges = turned[rack] * -np.array([length, width, height])
            corner = racks.translation[rack] - edges.sum(axis=1) / 2
            along = (boxes.translation[row] - corner) @ edges
            if np.all((along >= 0) & (along <= np.sum(edges**2, axis=0))):
                kept[row] = False
    return kept


class Matches(NamedTuple):
    """hit: of every prediction in descending score.  predicted, truth: rows of matched pairs."""

    hit: Bool[np.ndarray, " n"]
    predicted: Int[np.ndarray, " m"]
    truth: Int[np.ndarray, " m"]


def match(truth: EvaluatedBoxes, predicted: EvaluatedBoxes, distance: float) -> Matches:
    """Predictions of one class take the nearest free truth of their sample, strictly within
    `distance`; of equal scores the later one goes first."""
    order = np.lexsort((np.arange(len(predicted.score)), predicted.score))[::-1]
    of_sample = {int(s): np.flatnonzero(truth.sample == s) for s in np.unique(truth.sample)}
    free = np.ones(len(truth.sample), bool)
    hit, pairs = np.zeros(len(order), bool), []
    for place, row in enumerate(order):
        rows = of_sample.get(int(predicted.sample[row]), np.zeros(0, np.int64))
        rows = rows[free[rows]]
        if not len(rows):
            continue
        offset = truth.translation[rows, :2] - predicted.translation[row, :2]
        far = np.sqrt(np.sum(offset**2, axis=1))
        nearest = int(np.argmin(far))
        if far[nearest] < distance:
            hit[place], free[rows[nearest]] = True, False
            pairs.append((row, rows[nearest]))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return Matches(hit, found[:, 0], found[:, 1])


def pair_errors(
    truth: EvaluatedBoxes, predicted: EvaluatedBoxes, period: float
) -> dict[str, Float[np.ndarray, " m"]]:
    """Errors of matched pairs, row by row; NaN where the truth or the velocity is unknown."""
    offset = truth.translation[:, :2] - predicted.translation[:, :2]
    common = np.prod(np.minimum(truth.size, predicted.size), axis=1)
    union = np.prod(truth.size, axis=1) + np.prod(predicted.size, axis=1) - common
    turn = heading(truth.rotation) - heading(predicted.rotation)
    turn = np.abs((turn + period / 2) % period - period / 2)
    wrong = np.where(truth.attribute == predicted.attribute, 0.0, 1.0)
    speed = predicted.velocity - truth.velocity
    return {
        "trans_err": np.sqrt(np.sum(offset**2, axis=1)),
        "scale_err": 1 - common / union,
        "orient_err": turn,
        "vel_err": np.sqrt(np.sum(speed**2, axis=1)),
        "attr_err": np.where(truth.attribute < 0, np.nan, wrong),
    }


def evaluate(
    truth: EvaluatedBoxes, predicted: EvaluatedBoxes, settings: Settings | None = None
) -> dict[str, Any]:
    """The benchmark's numbers of boxes that count (`filter_boxes`).

    `label_aps` [class, distance], `label_tp_errors` [class, error] (NaN: undefined),
    `mean_dist_aps` [class], `mean_ap`, `tp_errors` and `tp_scores` [error], `nd_score`; the curves
    over 101 recalls: `precision`, `confidence` [class, distance, recall], `tp_curves`.
    """
    settings = settings or Settings()
    found: dict[str, list] = {"precision": [], "confidence": [], "tp_curves": []}
    aps, errors = [], []
    for number, name in enumerate(settings.classes):
        of_truth = truth.rows(truth.label == number)
        of_predicted = predicted.rows(predicted.label == number)
        period = np.pi if name in HALF_TURN else 2 * np.pi
        curves = [
            _curves(of_truth, of_predicted, distance, period) for distance in settings.distances
        ]
        aps.append(
            [average_precision(c[0], settings.min_recall, settings.min_precision) for c in curves]
        )
        _, confidence, by_error = curves[settings.distances.index(settings.matched)]
        undefined = UNDEFINED.get(name, ())
        errors.append(
            [
                np.nan if error in undefined else mean_error(curve, confidence, settings.min_recall)
                for error, curve in zip(ERRORS, by_error, strict=True)
            ]
        )
        found["precision"].append([c[0] for c in curves])
        found["confidence"].append([c[1] for c in curves])
        found["tp_curves"].append(by_error)
    label_aps, label_errors = np.array(aps), np.array(errors)
    mean_dist_aps = label_aps.mean(axis=1)
    mean_ap, tp_errors = float(mean_dist_aps.mean()), _mean_over_classes(label_errors)
    tp_scores = np.maximum(0.0, 1.0 - tp_errors)
    total = MAP_WEIGHT * mean_ap + float(tp_scores.sum())
    return {
        "label_aps": label_aps,
        "label_tp_errors": label_errors,
        "mean_dist_aps": mean_dist_aps,
        "mean_ap": mean_ap,
        "tp_errors": tp_errors,
        "tp_scores": tp_scores,
        "nd_score": total / (MAP_WEIGHT + len(ERRORS)),
        **{name: np.array(curves) for name, curves in found.items()},
    }


def _mean_over_classes(errors: Float[np.ndarray, "k e"]) -> Float[np.ndarray, " e"]:
    """Mean over the classes that define each error; 1 where none does (a user's own classes)."""
    defined = ~np.isnan(errors)
    count = defined.sum(axis=0)
    total = np.where(defined, errors, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), 1.0)


def _curves(
    truth: EvaluatedBoxes, predicted: EvaluatedBoxes, distance: float, period: float
) -> tuple[np.ndarray, np.ndarray, Sequence[np.ndarray]]:
    """Precision, confidence and the five errors at 101 recalls; nothing found gives 0, 0 and 1."""
    found = match(truth, predicted, distance)
    if not found.hit.any():
        return np.zeros(RECALLS), np.zeros(RECALLS), [np.ones(RECALLS) for _ in ERRORS]
    order = np.lexsort((np.arange(len(predicted.score)), predicted.score))[::-1]
    scores = predicted.score[order]
    precision = precision_curve(found.hit, len(truth.score))
    confidence = confidence_curve(found.hit, scores, len(truth.score))
    pairs = pair_errors(truth.rows(found.truth), predicted.rows(found.predicted), period)
    matched = predicted.score[found.predicted]
    return precision, confidence, [error_curve(pairs[e], matched, confidence) for e in ERRORS]
