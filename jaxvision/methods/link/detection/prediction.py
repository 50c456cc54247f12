"""Scans in; boxes as JSON, pictures, a page to look around in, and a submission file out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.lidar.boxed_scan import BoxedScan, boxes_from_json, boxes_to_json, read_points
from jaxvision.data.lidar.nuscenes_frames import Frame, read_frame
from jaxvision.data.lidar.nuscenes_index import NuscenesFrames
from jaxvision.data.lidar.nuscenes_results import world_entries, write_results
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.own_scans import only_scans
from jaxvision.errors import InputError
from jaxvision.methods.link.detection.evaluation import answer_of, with_velocity
from jaxvision.methods.link.prediction import capacity_for
from jaxvision.viz.boxes import draw_above, draw_ahead, shade
from jaxvision.viz.cloud_page import cloud_page
from jaxvision.viz.files import output_names, write_png
from jaxvision.viz.points import class_colours

if TYPE_CHECKING:
    from jaxvision.methods.link.detection.task import DetectionTask

SHOWN = 0.3  # least score of a box in a picture
RESULTS = "results_nusc.json"


@dataclass(frozen=True)
class KnownFrames:
    """nuScenes key frames by file name, read when asked for."""

    tables: Tables
    sweeps: int
    sample_of: Mapping[str, str]

    @classmethod
    def of(cls, task: "DetectionTask") -> "KnownFrames | None":
        """Where the recipe's data is nuScenes and its tables are there."""
        data = task.config.data
        if data.name != "nuscenes" or not data.root:
            return None
        tables = Tables(Path(data.root), data.version)
        names = {Path(row["filename"]).name: token for token, row in tables.key_frames.items()}
        return cls(tables, data.sweeps, names)

    def frame(self, path: Path) -> Frame | None:
        """The frame whose points a file holds."""
        token = self.sample_of.get(path.name)
        return None if token is None else read_frame(self.tables, token, self.sweeps)


def predict_files(
    task: "DetectionTask", variables: Any, paths: list[Path], outdir: Path
) -> list[Path]:
    """For each `.bin` or `.ply`: NAME.json (boxes in the scan's own frame), NAME_above.png,
    NAME_ahead.png, NAME.html. Truth is shown where it is known: boxes in a `NAME.json` beside the
    scan, or nuScenes' own. Of nuScenes key frames also a result file for its benchmark.

    InputError where no path is a scan, or one cannot be read.
    """
    scans = only_scans(paths)
    if not scans:
        raise InputError(f"{paths[0]}: expected .bin or .ply scans")
    known = KnownFrames.of(task)
    run = lru_cache(maxsize=8)(lambda voxels: jax.jit(task.predict))
    written: list[Path] = []
    results: dict[str, list[dict[str, Any]]] = {}
    for path, name in zip(scans, output_names(scans), strict=True):
        frame = known.frame(path) if known is not None else None
        scan = read_scan(task, path, frame)
        answer = predict_scan(task, variables, scan, path, run)
        written += write_answer(task, scan, answer, path, outdir / name)
        if frame is not None:
            names = [task.classes[label] for label in answer["label"]]
            boxes = with_velocity(answer["box"])
            results[frame.token] = world_entries(
                frame.token, frame.sensor, frame.ego, boxes, names, answer["score"]
            )
    if results:
        write_results(outdir / RESULTS, results)
        written.append(outdir / RESULTS)
    return written


def read_scan(task: "DetectionTask", path: Path, frame: Frame | None) -> BoxedScan:
    """A scan with its sweeps and what is known of its boxes."""
    data = task.config.data
    if frame is not None:
        return NuscenesFrames(Path(data.root), (frame,))[0]
    points = read_points(path, data.columns)
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return BoxedScan(points, np.zeros((0, 9), np.float32), ())
    boxes, names = boxes_from_json(beside, task.classes)
    return BoxedScan(points, boxes, names)


def predict_scan(
    task: "DetectionTask", variables: Any, scan: BoxedScan, path: Path, run: Any
) -> dict[str, np.ndarray]:
    """Boxes in descending score: `box`, `score`, `label`."""
    packing = task.packing("test")
    found = task.grid.voxelise(scan.merged(), packing.voxels, packing.points)
    if not len(found.coords):
        raise InputError(f"{path}: no point inside the range {task.grid.extent}")
    # Turned views may have a few voxels more.
    voxels = min(capacity_for(int(1.1 * len(found.coords))), packing.voxels)
    packed = replace(packing, voxels=voxels)(scan, np.random.default_rng(0), "scans")
    batch = {name: np.asarray(value)[None] for name, value in packed.items()}
    answer = jax.tree.map(np.asarray, run(voxels)(variables, batch, jax.random.key(0)))
    return answer_of(answer, 0, task.classes, task.fused)


def colours_of(labels: np.ndarray, classes: tuple[str, ...]) -> UInt8[np.ndarray, "k 3"]:
    """A colour for each box by its class; grey is left to the points."""
    return class_colours(len(classes) + 1)[labels + 1]


def words_of(answer: Mapping[str, np.ndarray], classes: tuple[str, ...]) -> list[str]:
    """Class and score of each box, and its speed where it moves."""
    words = []
    for box, score, label in zip(answer["box"], answer["score"], answer["label"], strict=True):
        speed = float(np.hypot(box[6], box[7])) if len(box) == 9 else 0.0
        moving = f" {speed:.1f} m/s" if speed > 0.5 else ""
        words.append(f"{classes[label]} {score:.2f}{moving}")
    return words


def confident(answer: Mapping[str, np.ndarray], least: float = SHOWN) -> dict[str, np.ndarray]:
    """The boxes of at least that score."""
    kept = answer["score"] >= least
    return {name: value[kept] for name, value in answer.items()}


def picture_above(
    points: Float[np.ndarray, "n c"],
    answer: Mapping[str, np.ndarray],
    truth: Float[np.ndarray, "m 9"],
    classes: tuple[str, ...],
) -> UInt8[np.ndarray, "h w 3"]:
    """The confident boxes and the truth (white) from above."""
    shown = confident(answer)
    colours, words = colours_of(shown["label"], classes), words_of(shown, classes)
    return draw_above(points, shown["box"], colours, words, truth)


def write_answer(
    task: "DetectionTask",
    scan: BoxedScan,
    answer: Mapping[str, np.ndarray],
    path: Path,
    stem: Path,
) -> list[Path]:
    """Everything about one scan; returns the files. stem: without suffix."""
    classes, points, truth = task.classes, scan.points, scan.boxes
    names = [classes[label] for label in answer["label"]]
    files = [stem.with_name(f"{stem.name}{end}") for end in (".json", "_above.png", "_ahead.png")]
    page = stem.with_name(f"{stem.name}.html")
    boxes = boxes_to_json(answer["box"], names, answer["score"])
    files[0].write_text(json.dumps({"scan": str(path), "boxes": boxes}, indent=1))
    shown = confident(answer)
    drawn = (
        *(points, shown["box"], colours_of(shown["label"], classes)),
        *(words_of(shown, classes), truth),
    )
    write_png(files[1], draw_above(*drawn))
    write_png(files[2], draw_ahead(*drawn))
    page.write_text(
        cloud_page(
            path.name,
            points,
            shade(points),
            answer["box"],
            colours_of(answer["label"], classes),
            words_of(answer, classes),
            answer["score"],
            truth,
            SHOWN,
        )
    )
    return [*files, page]
