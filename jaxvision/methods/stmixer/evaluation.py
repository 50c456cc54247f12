"""Mean average precision on key frames: every person's every action is a detection."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.actions.act_files import ActionTubes
from jaxvision.data.actions.ava_files import rows_of_people
from jaxvision.data.actions.key_frames import KeyFrame
from jaxvision.data.source import Source
from jaxvision.methods.stmixer.detections import Choice, choose
from jaxvision.metrics.action_frames import (
    FrameBoxes,
    average_precisions,
    never_met,
)
from jaxvision.tasks.frame_results import frame_results
from jaxvision.tasks.people_in_films import People
from jaxvision.tasks.tube_scores import tube_scores
from jaxvision.training.task import Batch, BatchSpecs, Evaluation, Variables

DECIMALS = 5  # of the file that the published evaluation reads back


class TruthOfFrame(NamedTuple):
    """People of a key frame. boxes: x1, y1, x2, y2 as shares of the frame."""

    boxes: Float[np.ndarray, "people 4"]
    actions: UInt8[np.ndarray, "people classes"]


def frame_map(
    outputs: Callable[[Variables, Batch, Any], Any],
    sources: Mapping[str, Source],
    specs: BatchSpecs,
    *,
    numbers: Mapping[str, Sequence[int]],
    truth: Callable[[int], TruthOfFrame],
    choice: Choice,
    labels: Sequence[int],
    names: Sequence[str],
    excluded: Collection[int] = (),
    whole_frames: bool = False,
    more: Callable[[Mapping[int, People]], Mapping[str, float]] | None = None,
) -> Evaluation:
    """AVA's frame mAP at IoU 0.5, without a limit of detections, as published.

    numbers: the key frame of each record of a bucket's source.  truth: the people of key frame n.
    labels: ids, from 1, that count.  excluded: key frames that do not.  whole_frames: every box is
    the frame, to compare with.  more: results besides, of the people of every key frame.
    """

    def accumulate(total: Any, found: Any, index: np.ndarray, bucket: str) -> dict[int, Any]:
        total = {} if total is None else total
        for row, record in enumerate(index):
            queries = People(*(found[name][row] for name in People._fields))
            total[int(numbers[bucket][int(record)])] = choose(queries, choice)
        return total

    def finish(total: Mapping[int, Any], variables: Variables) -> dict[str, float]:
        found, true = [], []
        for frame in sorted(total):
            people = total[frame]
            boxes = people.boxes.astype(np.float64)
            if whole_frames:
                boxes = np.tile([0.0, 0.0, 1.0, 1.0], (len(boxes), 1))
            scores = people.action.astype(np.float64).round(DECIMALS)
            found.append(rows_of_people(boxes.round(DECIMALS), scores, frame))
            people = truth(frame)
            true.append(rows_of_people(people.boxes, people.actions.astype(np.float64), frame, 0.5))
        detections, wanted = (_joined(rows) for rows in (found, true))
        precisions = average_precisions(wanted, detections, labels, excluded=excluded)
        missed = never_met(wanted, detections, labels)
        results = frame_results(precisions, labels, names, len(total))
        results["people_per_frame"] = sum(len(p.boxes) for p in total.values()) / len(total)
        results["labels_without_truth"] = float(len(missed["labels_without_truth"]))
        results["frames_without_detections"] = float(len(missed["frames_without_detections"]))
        return results | dict(more(total) if more else {})

    return Evaluation(
        source=sources,
        batch_specs=specs,
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
    )


def tube_results(
    truth: ActionTubes, videos: Sequence[str], items: Sequence[KeyFrame]
) -> Callable[[Mapping[int, People]], dict[str, float]]:
    """Frame mAP at IoU 0.5 and video mAP of UCF101-24 and JHMDB by ACT's rules, in percent, of the
    people on the key frames `items`, which are all frames that have any."""

    def results(people: Mapping[int, People]) -> dict[str, float]:
        by_frame = {
            (items[number].video, items[number].centre + 1): (found.boxes, found.action)
            for number, found in people.items()
        }
        return tube_scores(truth, videos, by_frame)

    return results


def _joined(rows: Sequence[Any]) -> FrameBoxes:
    return FrameBoxes(*(np.concatenate(columns) for columns in zip(*rows, strict=True)))
