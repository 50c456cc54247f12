"""How detection is evaluated: nuScenes' own program on its tables, the same rules on other data."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array

from jaxvision.data.lidar import nuscenes_results as results
from jaxvision.data.lidar.boxes import heading_of
from jaxvision.data.lidar.nuscenes_index import NuscenesFrames
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.source import Records, Source
from jaxvision.errors import InputError
from jaxvision.methods.link.detection.nuscenes_benchmark import evaluate_boxes
from jaxvision.methods.link.detection.view_fusion import class_thresholds, fuse
from jaxvision.metrics import detection as metrics
from jaxvision.ops.quaternions import about_z
from jaxvision.training.task import BatchSpecs, Evaluation, Variables

SHORT = {"trans_err": "ate", "scale_err": "ase", "orient_err": "aoe", "vel_err": "ave"}


def boxes_of_scan(
    found: Mapping[str, np.ndarray], row: int, classes: tuple[str, ...], fused: bool
) -> dict[str, np.ndarray]:
    """One scan's boxes, in descending score. fused: whether boxes of several views are."""
    valid = found["valid"][row]
    box, score, label = (found[name][row][valid] for name in ("box", "score", "label"))
    if fused:
        footprints = np.stack(
            [box[:, 0], box[:, 1], box[:, 4], box[:, 3], heading_of(box[:, -1])], axis=1
        )
        order = fuse(footprints, score, label, class_thresholds(classes))
    else:
        order = np.argsort(-score, kind="stable")[: results.MAX_BOXES]
    return {"box": box[order], "score": score[order], "label": label[order]}


def with_velocity(boxes: np.ndarray) -> np.ndarray:
    """Boxes of nine columns; unknown velocities are 0."""
    if boxes.shape[1] == 9:
        return boxes
    zeros = np.zeros((len(boxes), 2), boxes.dtype)
    return np.concatenate([boxes[:, :6], zeros, boxes[:, 6:]], axis=1)


def detection_evaluation(
    source: Source,
    specs: BatchSpecs,
    outputs: Callable[..., Mapping[str, Array]],
    classes: tuple[str, ...],
    *,
    fused: bool,
    max_range_m: float,
    tables: Tables | None,
) -> Evaluation:
    """`map`, `nds` (percent), `ap_NAME` and `ap_NAME_2m` of each class (and the other distances),
    the mean true-positive errors `ate` (m), `ase`, `aoe` (rad), `ave` (m/s), `aae`, and `overflow`:
    voxels that found no room.

    tables: of nuScenes, whose program is followed then; else its rules apply in the sensor's frame,
    every class within `max_range_m`, without attributes, and there is no `nds`.
    """

    def accumulate(
        total: Any, answers: Mapping[str, np.ndarray], index: np.ndarray, bucket: str
    ) -> Any:
        total = total or {"overflow": 0, "scans": {}}
        total["overflow"] += int(answers["overflow"].sum())
        for row, number in enumerate(index):
            scan = boxes_of_scan(answers, row, classes, fused)
            count = int(answers["truth_count"][row])
            scan["truth"] = answers["truth"][row][:count]
            scan["truth_label"] = answers["truth_label"][row][:count]
            total["scans"][int(number)] = scan
        return total

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        if not any(len(scan["truth"]) for scan in total["scans"].values()):
            raise InputError(
                f"{len(total['scans'])} scans: none has a box of {', '.join(classes)}: there is "
                "nothing to evaluate"
            )
        if tables is not None:
            result = evaluate_in_world(total["scans"], source.records, tables, classes)
            settings = metrics.Settings()
        else:
            ranges = dict.fromkeys(classes, max_range_m)
            settings = metrics.Settings(classes=classes, ranges=ranges)
            result = evaluate_in_sensor_frame(total["scans"], settings)
        found = {"map": 100 * result["mean_ap"]}
        if tables is not None:
            found["nds"] = 100 * result["nd_score"]
            found["aae"] = result["tp_errors"][metrics.ERRORS.index("attr_err")]
        for name, short in SHORT.items():
            found[short] = result["tp_errors"][metrics.ERRORS.index(name)]
        for n, name in enumerate(settings.classes):
            found[f"ap_{name}"] = 100 * result["mean_dist_aps"][n]
            for k, distance in enumerate(settings.distances):
                found[f"ap_{name}_{distance:g}m"] = 100 * result["label_aps"][n, k]
        return {n: float(value) for n, value in found.items()} | {"overflow": total["overflow"]}

    return Evaluation(
        source=source,
        batch_specs=specs,
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
    )


def evaluate_in_world(
    scans: Mapping[int, Mapping[str, np.ndarray]],
    records: Records,
    tables: Tables,
    classes: tuple[str, ...],
) -> dict[str, Any]:
    """The official program's numbers over the scans that were predicted."""
    assert isinstance(records, NuscenesFrames)
    lists = {}
    for number in sorted(scans):
        frame, scan = records.frames[number], scans[number]
        names = [classes[label] for label in scan["label"]]
        boxes = with_velocity(scan["box"])
        lists[frame.token] = results.world_entries(
            frame.token,
            frame.sensor,
            frame.ego,
            boxes=boxes,
            names=names,
            scores=scan["score"],
        )
    samples = list(lists)
    truth, racks = results.truth_of(tables, samples)
    predicted = results.check_results(lists, samples, metrics.CLASSES, Path("predictions"))
    return evaluate_boxes(truth, racks, results.ego_places(tables, samples), predicted)


def evaluate_in_sensor_frame(
    scans: Mapping[int, Mapping[str, np.ndarray]], settings: metrics.Settings
) -> dict[str, Any]:
    """The same rules on boxes of the sensors' own frames."""

    def gathered(box: str, label: str, score: str | None) -> metrics.EvaluatedBoxes:
        numbers = sorted(scans)
        boxes = np.concatenate([with_velocity(scans[n][box]).astype(float) for n in numbers])
        sample = np.repeat(np.arange(len(numbers)), [len(scans[n][box]) for n in numbers])
        labels = np.concatenate([scans[n][label] for n in numbers]).astype(np.int64)
        scores = np.zeros(len(boxes))
        if score is not None:
            scores = np.concatenate([scans[n][score] for n in numbers]).astype(float)
        none = np.full(len(boxes), -1)
        return metrics.EvaluatedBoxes(
            sample=sample,
            translation=boxes[:, :3],
            size=boxes[:, 3:6],
            rotation=about_z(heading_of(boxes[:, 8])),
            velocity=boxes[:, 6:8],
            label=labels,
            attribute=none,
            points=none,
            score=scores,
        )

    ego = np.zeros((len(scans), 3))
    nothing = np.zeros((0, 3))
    racks = metrics.BikeRacks(np.zeros(0, np.int64), nothing, nothing, np.zeros((0, 4)))
    truth, found = (
        boxes.rows(metrics.filter_boxes(boxes, ego, racks, settings))
        for boxes in (gathered("truth", "truth_label", None), gathered("box", "label", "score"))
    )
    return metrics.evaluate(truth, found, settings)
