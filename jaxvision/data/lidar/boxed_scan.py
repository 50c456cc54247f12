"""A scan with boxes around its objects, and a user's own ones in JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxvision.data.lidar.boxes import heading_of
from jaxvision.data.lidar.own_scans import read_scan, scan_files
from jaxvision.data.lidar.scan import read_floats
from jaxvision.errors import InputError, nearest
from jaxvision.text_files import read_json

# One box in a file.
BOX = {
    **{"name": str, "translation": (float,) * 3, "size": (float,) * 3, "heading": float},
    "velocity?": (float,) * 2,
}


@dataclass(frozen=True)
class BoxedScan:
    """points: of the key frame: x, y, z (m), intensity, time lag (s).  sweeps: earlier scans moved
    into it, newest first.  boxes: see jaxvision.data.lidar.boxes, unknown velocities 0.
    names: class of each box.  token: of the sample, where it has one."""

    points: Float[np.ndarray, "n 5"]
    boxes: Float[np.ndarray, "k 9"]
    names: tuple[str, ...]
    sweeps: tuple[Float[np.ndarray, "m 5"], ...] = ()
    token: str = ""

    def merged(self, rng: np.random.Generator | None = None) -> Float[np.ndarray, "n 5"]:
        """The key frame's points, then the sweeps': newest first, or in a drawn order."""
        order = range(len(self.sweeps)) if rng is None else rng.permutation(len(self.sweeps))
        return np.concatenate([self.points, *(self.sweeps[n] for n in order)])


def boxes_to_json(
    boxes: Float[np.ndarray, "k d"],
    names: Sequence[str],
    scores: Float[np.ndarray, " k"] | None = None,
) -> list[dict[str, Any]]:
    """Boxes in the scan's own frame. heading: of the length, counter-clockwise from x (rad)."""
    found = []
    for row, box in enumerate(boxes.astype(float)):
        entry: dict[str, Any] = {
            "name": names[row],
            "translation": box[:3].tolist(),
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
    path: Path, classes: Sequence[str]
) -> tuple[Float[np.ndarray, "k 9"], tuple[str, ...]]:
    """Boxes of a file `{"boxes": [...]}` as `boxes_to_json` writes them. InputError for a class
    that is not in `classes` and for a box that is not whole."""
    entries = read_json(path, {"boxes": [BOX]})["boxes"]
    boxes, names = np.zeros((len(entries), 9), np.float32), []
    for row, entry in enumerate(entries):
        name = entry["name"]
        boxes[row, :3], boxes[row, 3:6] = entry["translation"], entry["size"]
        boxes[row, 6:8] = entry.get("velocity", (0.0, 0.0))
        boxes[row, 8] = heading_of(np.array(entry["heading"], float))
        if name not in classes:
            raise InputError(f"{path}: class {name!r} of box {row}{nearest(name, classes)}")
        names.append(name)
    if not np.isfinite(boxes).all():
        raise InputError(f"{path}: a box with a value that is NaN or infinite")
    return boxes, tuple(names)


def read_points(path: Path, columns: int) -> Float[np.ndarray, "n 5"]:
    """A `.bin` of 4 columns (x, y, z, intensity) or 5 (time lag too), or a `.ply` (lag 0)."""
    if path.suffix.lower() == ".bin" and columns == 5:
        return read_floats(path, 5)
    points = read_scan(path, columns=columns).points
    return np.concatenate([points, np.zeros((len(points), 1), np.float32)], axis=1)


@dataclass(frozen=True)
class OwnBoxedScans:
    """Scans of a folder, each with its boxes in `NAME.json` beside it."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]
    columns: int = 4

    @classmethod
    def open(cls, folder: Path, classes: Sequence[str], columns: int = 4) -> "OwnBoxedScans":
        """columns: float32 values of a point in a `.bin`."""
        return cls(scan_files(folder), tuple(classes), columns)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return str(self.files[index])

    def __getitem__(self, index: int) -> BoxedScan:
        file = self.files[index]
        boxes, names = boxes_from_json(file.with_suffix(".json"), self.classes)
        return BoxedScan(read_points(file, self.columns), boxes, names)
