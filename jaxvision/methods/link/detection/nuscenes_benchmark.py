"""The nuScenes detection benchmark on the tables and a result file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvision.data.lidar import nuscenes_results as results
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.metrics.detection import (
    BikeRacks,
    EvaluatedBoxes,
    Settings,
    evaluate,
    filter_boxes,
)


def as_evaluated(boxes: results.WorldBoxes, classes: Sequence[str]) -> EvaluatedBoxes:
    """The same boxes with numbers for classes and attributes; other classes are left out."""
    of_class = {name: n for n, name in enumerate(classes)}
    of_attribute = {name: n for n, name in enumerate(results.ATTRIBUTES)}
    labels = np.array([of_class.get(name, -1) for name in boxes.names], np.int64)
    attributes = np.array([of_attribute.get(name, -1) for name in boxes.attributes], np.int64)
    same = set(EvaluatedBoxes._fields) - {"label", "attribute"}
    columns = {name: getattr(boxes, name) for name in same}
    found = EvaluatedBoxes(label=labels, attribute=attributes, **columns)
    return found.rows(labels >= 0)


def evaluate_boxes(
    truth: results.WorldBoxes,
    racks: results.WorldBoxes,
    ego: np.ndarray,
    predicted: results.WorldBoxes,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """The benchmark's numbers, and `kept_counts` [truth or prediction, class] after its filters."""
    settings = settings or Settings()
    places = BikeRacks(racks.sample, racks.translation, racks.size, racks.rotation)
    kept = []
    for boxes in (truth, predicted):
        found = as_evaluated(boxes, settings.classes)
        kept.append(found.rows(filter_boxes(found, ego, places, settings)))
    counts = [np.bincount(b.label, minlength=len(settings.classes)) for b in kept]
    return evaluate(kept[0], kept[1], settings) | {"kept_counts": np.stack(counts)}


def evaluate_file(
    tables: Tables, scenes: tuple[str, ...], path: Path, settings: Settings | None = None
) -> dict[str, Any]:
    """A result file of a split's samples, evaluated as the official program does."""
    settings = settings or Settings()
    samples = tables.samples(scenes)
    truth, racks = results.truth_of(tables, samples)
    predicted = results.read_results(path, samples, settings.classes)
    return evaluate_boxes(truth, racks, results.ego_places(tables, samples), predicted, settings)
