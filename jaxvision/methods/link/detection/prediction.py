"""Scans in; boxes as JSON, pictures, a page to look around in, and a submission file out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.conversions import note
from jaxvision.data.lidar.boxed_scan import BoxedScan, boxes_to_json, read_own
from jaxvision.data.lidar.nuscenes_frames import Frame, read_frame
from jaxvision.data.lidar.nuscenes_index import NuscenesFrames
from jaxvision.data.lidar.nuscenes_results import world_entries, write_results
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.scan_format import PLAIN, ScanFormat
from jaxvision.data.lidar.voxels import capacity_for
from jaxvision.methods.link.detection.evaluation import boxes_of_scan, with_velocity
from jaxvision.methods.link.detection.inputs import DetectionPacking
from jaxvision.tasks.each_input import each_input, earlier_table
from jaxvision.training.task import Batch
from jaxvision.viz.boxes import BoxDrawing, draw_above, draw_ahead
from jaxvision.viz.cloud_page import cloud_page
from jaxvision.viz.files import write_png
from jaxvision.viz.points import class_colours

SHOWN = 0.3  # least score of a box in a picture
SPARE_FOR_VIEWS = 1.1  # turned views may have a few voxels more than the scan
RESULTS = "results_nusc.json"
# `box`, `score`, `label` in descending score.
Answer = Mapping[str, np.ndarray]
NOTHING_FOUND: Answer = {
    "box": np.zeros((0, 9), np.float32),
    "score": np.zeros(0, np.float32),
    "label": np.zeros(0, np.int32),
}
DetectScan = Callable[[BoxedScan, Path], Answer]


@dataclass(frozen=True)
class KeyFrames:
    """nuScenes key frames by file name, read when asked for.  sample_of: token by file name."""

    tables: Tables
    sweeps: int
    sample_of: Mapping[str, str]

    @classmethod
    def open(cls, root: Path, version: str, sweeps: int) -> "KeyFrames":
        """sweeps: scans of each frame, its own included."""
        tables = Tables(root, version)
        names = {Path(row["filename"]).name: token for token, row in tables.key_frames.items()}
        return cls(tables, sweeps, names)

    def frame(self, path: Path) -> Frame | None:
        """The frame whose points a file holds."""
        token = self.sample_of.get(path.name)
        return None if token is None else read_frame(self.tables, token, self.sweeps)


def scan_detector(
    packing: DetectionPacking,
    predict: Callable[[Batch], Mapping[str, np.ndarray]],
    fused: bool,
) -> DetectScan:
    """How a scan of any size is answered, in few array sizes; the path is named in errors.

    packing: of the evaluation.  predict: boxes of a batch of one scan.  fused: whether boxes of
    several angles are.
    """

    def detect(scan: BoxedScan, path: Path) -> Answer:
        found = packing.grid.voxelise(scan.merged(), packing.voxels, packing.points)
        if not len(found.coords):
            note(path, "no point in range (data.range): no boxes")
            return NOTHING_FOUND
        wanted = capacity_for(int(SPARE_FOR_VIEWS * len(found.coords)))
        fitting = replace(packing, voxels=min(wanted, packing.voxels))
        packed = fitting(scan, np.random.default_rng(0), "scans")
        answer = predict({name: np.asarray(value)[None] for name, value in packed.items()})
        arrays = {name: np.asarray(value) for name, value in answer.items()}
        return boxes_of_scan(arrays, 0, packing.classes, fused)

    return detect


def predict_files(
    paths: list[Path],
    outdir: Path,
    detect: DetectScan,
    classes: tuple[str, ...],
    *,
    form: ScanFormat = PLAIN,
    known: KeyFrames | None = None,
) -> list[Path]:
    """For each `.bin` or `.ply`: NAME.json (boxes in the scan's own frame), NAME_above.png,
    NAME_ahead.png, NAME.html. Truth is shown where it is known: boxes in a `NAME.json` beside the
    scan, or nuScenes' own. Of nuScenes key frames also a result file for its benchmark.

    form: of the files.
    InputError for a path that is no scan or cannot be read; the others are answered
    (`each_input`).
    """
    results: dict[str, list[dict[str, Any]]] = earlier_table(outdir / RESULTS).get("results", {})

    def answer_one(path: Path, name: str) -> list[Path]:
        frame = known.frame(path) if known is not None else None
        if frame is not None:
            results.pop(frame.token, None)  # what an earlier file of that name held
        if known is not None and frame is not None:
            scan = NuscenesFrames(known.tables.root, (frame,))[0]
        else:
            scan = read_own(path, classes, form, required=False)
        answer = detect(scan, path)
        written = write_answer(path, scan, answer, classes, outdir / name)
        if frame is not None:
            results[frame.token] = world_entries(
                frame.token,
                frame.sensor,
                frame.ego,
                boxes=with_velocity(answer["box"]),
                names=[classes[label] for label in answer["label"]],
                scores=answer["score"],
            )
        return written

    def save() -> list[Path]:
        if not results:
            return []
        write_results(outdir / RESULTS, results)
        return [outdir / RESULTS]

    return each_input(paths, outdir, answer_one, save)


def captions(answer: Answer, classes: tuple[str, ...]) -> list[str]:
    """Class and score of each box, and its speed where it moves."""
    words = []
    for box, score, label in zip(answer["box"], answer["score"], answer["label"], strict=True):
        speed = float(np.hypot(box[6], box[7])) if len(box) == 9 else 0.0
        moving = f" {speed:.1f} m/s" if speed > 0.5 else ""
        words.append(f"{classes[label]} {score:.2f}{moving}")
    return words


def drawing_of(
    answer: Answer, truth: Float[np.ndarray, "m 9"], classes: tuple[str, ...]
) -> BoxDrawing:
    """Boxes with a colour by their class (grey is left to the points) and their captions."""
    colours = class_colours(len(classes) + 1)[answer["label"] + 1]
    return BoxDrawing(answer["box"], colours, captions(answer, classes), truth)


def confident(answer: Answer, least: float = SHOWN) -> Answer:
    """The boxes of at least that score."""
    kept = answer["score"] >= least
    return {name: value[kept] for name, value in answer.items()}


def picture_above(
    points: Float[np.ndarray, "n c"],
    answer: Answer,
    truth: Float[np.ndarray, "m 9"],
    classes: tuple[str, ...],
) -> UInt8[np.ndarray, "h w 3"]:
    """The confident boxes and the truth (white) from above."""
    return draw_above(points, drawing_of(confident(answer), truth, classes))


def write_answer(
    path: Path, scan: BoxedScan, answer: Answer, classes: tuple[str, ...], stem: Path
) -> list[Path]:
    """Everything about one scan; returns the files. stem: without suffix."""
    table, above, ahead, page = (
        stem.with_name(f"{stem.name}{end}")
        for end in (".json", "_above.png", "_ahead.png", ".html")
    )
    names = [classes[label] for label in answer["label"]]
    boxes = boxes_to_json(answer["box"], names, answer["score"], scan.origin)
    table.write_text(json.dumps({"scan": str(path), "boxes": boxes}, indent=1))
    shown = drawing_of(confident(answer), scan.boxes, classes)
    write_png(above, draw_above(scan.points, shown))
    write_png(ahead, draw_ahead(scan.points, shown))
    whole = drawing_of(answer, scan.boxes, classes)
    page.write_text(cloud_page(path.name, scan.points, whole, answer["score"], SHOWN))
    return [table, above, ahead, page]
