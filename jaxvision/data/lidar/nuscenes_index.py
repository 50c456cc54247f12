"""An index of nuScenes key frames, and the points of every box: what training reads.

`jaxvision prepare nuscenes` writes both once; without them, frames are read from the tables.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from jaxvision.data.atomic_write import atomic_write, path_inside
from jaxvision.data.lidar.boxed_scan import BoxedScan
from jaxvision.data.lidar.boxes import points_inside
from jaxvision.data.lidar.nuscenes_frames import IGNORE, Frame, Sweep, merge, read_frame
from jaxvision.data.lidar.nuscenes_tables import Pose, Tables
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to
from jaxvision.text_files import OrNull, a_count, a_token, read_json

FRAMES, OBJECTS = "frames.json", "objects.json"
_POSE = {"translation": (float,) * 3, "rotation": (float,) * 4}
_TRANSFORM = OrNull(((float,) * 4,) * 4)
# A record of each file.
ROWS: dict[str, dict[str, Any]] = {
    FRAMES: {
        **{"token": a_token, "scene": str, "timestamp": float, "file": str},
        **{"sensor": _POSE, "ego": _POSE, "sweeps": [(str, str, _TRANSFORM, float)]},
        **{"names": [str], "annotations": [a_token], "counts": [a_count]},
        **{"boxes": [(float | None,) * 9], "velocities": [(float | None,) * 3]},
    },
    OBJECTS: {"name": str, "scene": str, "file": str, "box": (float,) * 9, "points": a_count},
}


def frame_record(frame: Frame) -> dict[str, Any]:
    """A frame as plain JSON values; an unknown velocity is null."""

    def pose(of: Pose) -> dict[str, list[float]]:
        return {"translation": of.translation.tolist(), "rotation": of.rotation.tolist()}

    def rows(table: np.ndarray) -> list[list[float | None]]:
        return [[None if np.isnan(v) else float(v) for v in row] for row in table]

    record = {field.name: getattr(frame, field.name) for field in fields(frame)}
    return record | {
        "sensor": pose(frame.sensor),
        "ego": pose(frame.ego),
        "sweeps": [
            [s.token, s.file, None if s.transform is None else s.transform.tolist(), s.lag]
            for s in frame.sweeps
        ],
        "boxes": rows(frame.boxes),
        "velocities": rows(frame.velocities),
        "counts": frame.counts.tolist(),
    }


def frame_of(record: dict[str, Any]) -> Frame:
    """Inverse of `frame_record`. InputError where the columns of its boxes differ in length."""
    counted = {key: len(record[key]) for key in ("names", "boxes", "velocities", "annotations")}
    if set(counted.values()) != {len(record["counts"])}:
        raise InputError(f"frame {record['token']}: {counted} differ in number")

    def sweep(token: str, file: str, transform: Any, lag: float) -> Sweep:
        return Sweep(token, file, None if transform is None else np.array(transform), lag)

    changed = {
        "sensor": Pose.of(record["sensor"], record["token"]),
        "ego": Pose.of(record["ego"], record["token"]),
        "sweeps": tuple(sweep(*row) for row in record["sweeps"]),
        "names": tuple(record["names"]),
        "boxes": np.array(record["boxes"], float).reshape(-1, 9),
        "velocities": np.array(record["velocities"], float).reshape(-1, 3),
        "annotations": tuple(record["annotations"]),
        "counts": np.array(record["counts"], np.int64),
    }
    known = {field.name: record[field.name] for field in fields(Frame)}
    return Frame(**known | changed)


def write_index(
    tables: Tables, samples: Sequence[str], target: Path, sweeps: int, index: Path
) -> Iterator[tuple[int, int]]:
    """Write the index of samples, into the folder `index`, and their objects' points, below
    `target`; yields (frames done, frames in all).

    Objects: points of all sweeps inside each box of a detection class, relative to its centre.
    """
    frames, objects = [], []
    for number, sample in enumerate(samples, 1):
        frame = read_frame(tables, sample, sweeps)
        frames.append(frame_record(frame))
        kept = frame.with_points_inside()
        read = [sweep.points(tables.root) for sweep in frame.sweeps]
        points = merge(frame.key_points(tables.root), read)
        inside = points_inside(points, kept.boxes)
        for row, name in enumerate(kept.names):
            if name == IGNORE or not inside[row].any():
                continue
            chosen = points[inside[row]].copy()
            chosen[:, :3] -= kept.boxes[row, :3]
            file = Path("objects") / name / f"{kept.annotations[row]}.bin"
            written = path_inside(target, file)
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_bytes(chosen.astype("<f4").tobytes())
            box = np.nan_to_num(kept.boxes[row]).tolist()
            entry = {"name": name, "scene": frame.scene, "file": str(file), "box": box}
            objects.append(entry | {"points": len(chosen)})
        yield number, len(samples)
    # The frames come last: where they are, the index is whole.
    for name, rows in ((OBJECTS, objects), (FRAMES, frames)):
        _write_rows(index / name, rows)


def join_index(parts: Sequence[Path], target: Path) -> int:
    """One index of several, in their order; returns how many frames it has."""
    for name in (OBJECTS, FRAMES):
        rows = [row for part in parts for row in read_rows(part, name)]
        _write_rows(target / name, rows)
    return len(rows)


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_write(path) as temporary:
        Path(temporary).write_text(json.dumps(rows))


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Records of the index, as `ROWS` says. InputError where `folder` holds none."""
    if not (folder / name).is_file():
        raise InputError(f"{folder}: no {name}; make it by `jaxvision prepare nuscenes`")
    return read_json(folder / name, [ROWS[name]])


@dataclass(frozen=True)
class NuscenesFrames:
    """Key frames with their sweeps and boxes."""

    root: Path
    frames: tuple[Frame, ...]

    @classmethod
    def open(
        cls, root: Path, version: str, scenes: tuple[str, ...], sweeps: int, index: str = ""
    ) -> "NuscenesFrames":
        """index: a folder that `write_index` wrote; "" reads the tables. InputError where no frame
        belongs to the scenes, or the index holds fewer sweeps."""
        if not index:
            tables = Tables(root, version)
            return cls(root, tuple(read_frame(tables, s, sweeps) for s in tables.samples(scenes)))
        rows = [row for row in read_rows(path_to(index), FRAMES) if row["scene"] in scenes]
        if not rows:
            raise InputError(f"{index}: no frame of the {len(scenes)} scenes asked for")
        held = min(len(row["sweeps"]) for row in rows) + 1
        if held < sweeps:
            raise InputError(f"{index}: {held} sweeps a frame; data.sweeps asks for {sweeps}")
        for row in rows:
            row["sweeps"] = row["sweeps"][: sweeps - 1]
        return cls(root, tuple(map(frame_of, rows)))

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, index: int) -> str:
        return str(self.root / self.frames[index].file)

    def __getitem__(self, index: int) -> BoxedScan:
        frame = self.frames[index].with_points_inside()
        return BoxedScan(
            frame.key_points(self.root),
            np.nan_to_num(frame.boxes).astype(np.float32),
            frame.names,
            tuple(sweep.points(self.root) for sweep in frame.sweeps),
            frame.token,
        )
