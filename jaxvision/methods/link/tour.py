"""LinK on the tour: a street scan with a class for every point, and one with boxes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from jaxvision.data.lidar.boxed_scan import BoxedScan, boxes_to_json
from jaxvision.data.lidar.classes import Classes
from jaxvision.methods.link.detection import inputs as detection
from jaxvision.methods.link.segmentation import inputs as segmentation
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.tour_page import Number, Picture

STREET = "street"
COLUMNS = 5  # of a scan in a file: x, y, z, intensity, time lag
NEAR = 2.0  # metres between the centres of a box and what it is of
SURE = 0.3  # least score of a box that is drawn
CAR = "car"


class LabelledPoints(NamedTuple):
    """classes: of the recipe.  labels: the class of each point."""

    classes: Classes
    labels: Int[np.ndarray, " n"]


def write_street(config: ConfigDict, folder: Path) -> LabelledPoints:
    """A scan of a street that was never trained on."""
    scan, classes = segmentation.records_of(config, "test")[0], segmentation.classes_of(config)
    scan.points.astype("<f4").tofile(folder / f"{STREET}.bin")
    return LabelledPoints(classes, classes.train_ids(scan.labels, "ignored"))


def show_street(answers: Path, truth: LabelledPoints) -> Shown:
    classes, labels = truth
    found = classes.train_ids(np.fromfile(answers / f"{STREET}.label", "<u4"), "ignored")
    counted = labels > 0
    shares = []
    for number in np.unique(labels[counted]):
        mine, true = counted & (found == number), labels == number
        shares.append(np.sum(mine & true) / np.sum(mine | true))
    right = np.mean(found[counted] == labels[counted])
    commonest = np.bincount(labels[counted]).max() / counted.sum()
    numbers = [
        Number(
            f"{100 * right:.1f} %",
            f"of {counted.sum():,} points are named right, where one name for all would have "
            f"{100 * commonest:.1f} %",
        ),
        Number(f"{100 * np.mean(shares):.1f} %", "mean overlap (IoU) of the classes of this scan"),
    ]
    shown = [
        Picture(answers / f"{STREET}.html", "Every point in its class's colour: drag to turn it"),
        Picture(answers / f"{STREET}_above.png", "From above, and what the colours are"),
    ]
    return Shown(shown, numbers)


def write_boxed_street(config: ConfigDict, folder: Path) -> BoxedScan:
    """Two turns of the sensor in one file, and the boxes in the detector's range beside it."""
    records = detection.records_of(config, "test", ())
    # Of a few streets the one with most cars.
    scans = (within(records[n], config.task.max_range_m) for n in range(8))
    scan = max(scans, key=lambda scan: scan.names.count(CAR))
    scan.merged().astype("<f4").tofile(folder / f"{STREET}.bin")
    table = {"boxes": boxes_to_json(scan.boxes, scan.names)}
    (folder / f"{STREET}.json").write_text(json.dumps(table))
    return scan


def within(scan: BoxedScan, most: float) -> BoxedScan:
    """With the boxes whose centres are up to `most` metres away."""
    near = np.hypot(scan.boxes[:, 0], scan.boxes[:, 1]) <= most
    names = tuple(name for name, kept in zip(scan.names, near, strict=True) if kept)
    return replace(scan, boxes=scan.boxes[near], names=names)


def show_boxed_street(answers: Path, scan: BoxedScan) -> Shown:
    boxes = json.loads((answers / f"{STREET}.json").read_text())["boxes"]
    sure = [box for box in boxes if box["score"] >= SURE]
    numbers = []
    for name in dict.fromkeys(scan.names):
        true = scan.boxes[[n == name for n in scan.names], :2]
        centres = np.array([box["translation"][:2] for box in sure if box["name"] == name])
        apart = np.linalg.norm(true[:, None] - centres.reshape(1, -1, 2), axis=-1)
        found = int(np.sum((apart < NEAR).any(axis=1)))
        meaning = f"of class {name} have a box within {NEAR:g} m ({len(centres)} boxes of it)"
        numbers.append(Number(f"{found} of {len(true)}", meaning))
    shown = [
        Picture(answers / f"{STREET}.html", "Boxes found, the true ones white: drag to turn it"),
        Picture(answers / f"{STREET}_above.png", f"From above: boxes that score {SURE:g} or more"),
    ]
    return Shown(shown, numbers)


GIVEN = "made-up {}, never trained on: nothing real can be shipped."
STOPS = (
    Stop(
        name="link_segmentation",
        weights="link/demo",
        title="A class for every point",
        what="Sparse convolutions with kernels that reach far: a linear kernel is computed from "
        "positions, and sums over blocks of voxels make it cost the same however far it reaches.",
        given=GIVEN.format("streets under a LiDAR of 32 beams"),
        write=write_street,
        show=show_street,
    ),
    Stop(
        name="link_detection",
        weights="link/detection_demo",
        title="Boxes around cars and people",
        what="The same kernels in a detector: peaks of a map from above are centres of objects, "
        "and at each stand the size, the heading and the speed of its box.",
        given=GIVEN.format("streets under two turns of a LiDAR of 12 beams"),
        write=write_boxed_street,
        show=show_boxed_street,
        settings=lambda folder: [f"data.columns={COLUMNS}"],
    ),
)
