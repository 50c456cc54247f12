"""A scan with boxes around its objects, and a user's own ones in JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxvision.data.lidar.boxes import heading_of
from jaxvision.data.lidar.own_scans import read_scan, scan_files
from jaxvision.data.lidar.scan import check_points, read_rows
from jaxvision.data.lidar.scan_format import PLAIN, ScanFormat
from jaxvision.data.source import FileRecords
from jaxvision.errors import InputError, nearest
from jaxvision.text_files import read_json

# One box in a file.
BOX = {
    **{"name": str, "translation": (float,) * 3, "size": (float,) * 3, "heading": float},
    "velocity?": (float,) * 2,
}

Origin = tuple[float, float, float]
NO_SHIFT: Origin = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class BoxedScan:
    """points: of the key frame: x, y, z (m), intensity, time lag (s).  sweeps: earlier scans moved
    into it, newest first.  boxes: see jaxvision.data.lidar.boxes, unknown velocities 0.
    names: class of each box.  token: of the sample, where it has one.  origin: x, y, z (m) of the
    file that is 0, 0, 0 here."""

    points: Float[np.ndarray, "n 5"]
    boxes: Float[np.ndarray, "k 9"]
    names: tuple[str, ...]
    sweeps: tuple[Float[np.ndarray, "m 5"], ...] = ()
    token: str = ""
    origin: Origin = NO_SHIFT

    def merged(self, rng: np.random.Generator | None = None) -> Float[np.ndarray, "n 5"]:
        """The key frame's points, then the sweeps': newest first, or in a drawn order."""
        order = range(len(self.sweeps)) if rng is None else rng.permutation(len(self.sweeps))
        return np.concatenate([self.points, *(self.sweeps[n] for n in order)])


def boxes_to_json(
    boxes: Float[np.ndarray, "k d"],
    names: Sequence[str],
    scores: Float[np.ndarray, " k"] | None = None,
    origin: Origin = NO_SHIFT,
) -> list[dict[str, Any]]:
    """Boxes in the scan's own frame. heading: of the length, counter-clockwise from x (rad).
    origin: of `BoxedScan`."""
    found = []
    for row, box in enumerate(boxes.astype(float)):
        entry: dict[str, Any] = {
            "name": names[row],
            "translation": (box[:3] + origin).tolist(),
            "size": box[3:6].tolist(),
            "heading": float(np.angle(np.exp(1j * heading_of(box[-1])))),
        }
        if len(box) == 9:
            entry["velocity"] = box[6:8].tolist()
        if scores is not None:
            entry["score"] = float(scores[row])
        found.append(entry)
    return found


def boxes_from_json(
    path: Path, classes: Sequence[str], origin: Origin = NO_SHIFT
) -> tuple[Float[np.ndarray, "k 9"], tuple[str, ...]]:
    """Boxes of a file `{"boxes": [...]}` as `boxes_to_json` writes them. InputError for a class
    that is not in `classes`, for a box that is not whole, for one without extent, and for a heading
    of more than a turn (degrees?)."""
    entries = read_json(path, {"boxes": [BOX]})["boxes"]
    boxes, names = np.zeros((len(entries), 9), np.float32), []
    for row, entry in enumerate(entries):
        name = entry["name"]
        # In float64: a map's coordinates do not fit into float32.
        boxes[row, :3] = np.array(entry["translation"], float) - origin
        boxes[row, 3:6] = entry["size"]
        boxes[row, 6:8] = entry.get("velocity", (0.0, 0.0))
        boxes[row, 8] = heading_of(np.array(entry["heading"], float))
        if name not in classes:
            raise InputError(f"{path}: class {name!r} of box {row}{nearest(name, classes)}")
        if not (boxes[row, 3:6] > 0).all() and np.isfinite(boxes[row, 3:6]).all():
            raise InputError(
                f"{path}: size {boxes[row, 3:6].tolist()} of box {row} ({name}); expected three "
                "numbers above 0 (m)"
            )
        if abs(entry["heading"]) > 2.001 * np.pi:
            raise InputError(
                f"{path}: heading {entry['heading']:g} of box {row} ({name}); expected radians, "
                "-2 pi to 2 pi"
            )
        names.append(name)
    if not np.isfinite(boxes).all():
        raise InputError(f"{path}: a box with a value that is NaN or infinite")
    return boxes, tuple(names)


def holds_boxes(path: Path) -> bool:
    """Whether a JSON file is about boxes: other tables may lie beside a scan."""
    try:
        table = read_json(path)
    except InputError:
        return False
    return isinstance(table, dict) and "boxes" in table


def read_points(path: Path, form: ScanFormat = PLAIN) -> tuple[Float[np.ndarray, "n 5"], Origin]:
    """(points, their `BoxedScan.origin`) of a `.bin` of 4 columns (x, y, z, intensity) or more (the
    fifth is the time lag), or of a `.ply` (lag 0)."""
    scan = read_scan(path, form=form)
    lag = np.zeros((len(scan.points), 1), np.float32)
    if path.suffix.lower() == ".bin" and form.columns >= 5:
        rows = read_rows(path, form.columns)
        lag = (rows if scan.valid is None else rows[scan.valid])[:, 4:5]
    return check_points(np.concatenate([scan.points, lag], axis=1), path), scan.origin


def read_own(
    path: Path, classes: Sequence[str], form: ScanFormat = PLAIN, required: bool = True
) -> BoxedScan:
    """A scan of one's own, and the boxes of the `NAME.json` beside it.

    required: InputError where there are none; else a scan may come without, or with a JSON file
    about something else.
    """
    points, origin = read_points(path, form)
    beside = path.with_suffix(".json")
    if not required and not (beside.is_file() and holds_boxes(beside)):
        return BoxedScan(points, np.zeros((0, 9), np.float32), (), origin=origin)
    boxes, names = boxes_from_json(beside, classes, origin)
    return BoxedScan(points, boxes, names, origin=origin)


@dataclass(frozen=True)
class OwnBoxedScans(FileRecords):
    """Scans of a folder, each with its boxes in `NAME.json` beside it."""

    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    form: ScanFormat = PLAIN

    @classmethod
    def open(
        cls, folder: Path, classes: Sequence[str], form: ScanFormat = PLAIN
    ) -> "OwnBoxedScans":
        """form: of the files."""
        return cls(scan_files(folder), tuple(classes), form)

    def __getitem__(self, index: int) -> BoxedScan:
        return read_own(self.paths[index], self.classes, self.form)
