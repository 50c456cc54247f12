"""AVA's mean average precision, of boxes that a detector found and actions named for them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxvision.data.actions import pixel_boxes
from jaxvision.data.actions.ava_files import (
    ActionRows,
    KeyFrames,
    counted_labels,
    read_excluded,
    read_truth,
    rows_of_people,
)
from jaxvision.data.source import Records, Source
from jaxvision.metrics.action_frames import (
    FrameBoxes,
    average_precisions,
    never_met,
)
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks.frame_results import frame_results
from jaxvision.training.task import Batch, BatchSpecs, Evaluation, Variables

DECIMALS = 5  # of the file that the published evaluation reads back: it makes ties


class Truth(NamedTuple):
    """rows: of people that count.  frames: the number in them of each record.  labels: ids that
    count.  excluded: numbers of key frames that do not."""

    rows: ActionRows
    frames: Sequence[int]
    labels: Sequence[int]
    excluded: set[int]


def truth_of(config: ConfigDict, records: Any) -> Truth:
    """What the detections of `records` are compared with: `data.truth` (AVA's CSV, by whose key
    frames a person who was never detected counts), else the records' own people."""
    if config.data.name == "figures" or not config.data.truth:
        of_frames = [
            rows_of_people(
                _shares(item.people.boxes, item), item.people.actions.astype(float), number, 0.5
            )
            for number, item in enumerate(records[n] for n in range(len(records)))
        ]
        classes = records[0].people.actions.shape[1]
        return Truth(_joined(of_frames), range(len(records)), range(1, classes + 1), set())
    frames, labels = KeyFrames(), counted_labels(config.data.labels)
    rows, _, _ = read_truth(path_to(config.data.truth), frames, labels)
    excluded = config.data.excluded
    left_out = read_excluded(path_to(excluded), frames) if excluded else set()
    images = [item.image for item in records.items]
    numbers = [frames.number(image.movie, float(image.second)) for image in images]
    return Truth(rows, numbers, labels, left_out)


def frame_map(
    outputs: Callable[[Variables, Batch, Any], Any],
    sources: Mapping[str, Source],
    specs: BatchSpecs,
    *,
    numbers: Mapping[str, Sequence[int]],
    records: Records,
    labels: Sequence[str],
    truth: Truth,
) -> Evaluation:
    """Frame mAP at IoU 0.5 of every detected box, whatever its score, by boxes as they were
    detected (not as they were widened for the network).

    numbers: the record of each row of a bucket's source.  labels: names of ids from 1.
    """

    def accumulate(total: Any, found: Any, index: np.ndarray, bucket: str) -> dict[int, Any]:
        total = {} if total is None else total
        for row, record in enumerate(index):
            number = int(numbers[bucket][int(record)])
            total[number] = np.asarray(found["scores"][row], np.float64)
        return total

    def finish(total: Mapping[int, Any], variables: Variables) -> dict[str, float]:
        rows = []
        for number, scores in sorted(total.items()):
            item = records[number]
            boxes = _shares(item.people.boxes, item)[: len(scores)]
            scores = scores[: len(boxes)].round(DECIMALS)
            rows.append(rows_of_people(boxes.round(DECIMALS), scores, truth.frames[number]))
        found, wanted = FrameBoxes(*_joined(rows)), FrameBoxes(*truth.rows)
        precisions = average_precisions(wanted, found, truth.labels, excluded=truth.excluded)
        missed = never_met(wanted, found, truth.labels)
        results = frame_results(precisions, truth.labels, labels, len(total))
        return results | {name: float(len(some)) for name, some in missed.items()}

    return Evaluation(
        source=sources, batch_specs=specs, outputs=outputs, accumulate=accumulate, finish=finish
    )


def _shares(boxes: np.ndarray, item: Any) -> np.ndarray:
    """Of the frame, from a box's first to behind its last pixel."""
    return pixel_boxes.shares(boxes.astype(np.float64), (item.image.width, item.image.height))


def _joined(rows: Sequence[ActionRows]) -> ActionRows:
    return ActionRows(*(np.concatenate(columns) for columns in zip(*rows, strict=True)))
