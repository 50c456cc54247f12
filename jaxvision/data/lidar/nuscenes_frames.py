"""nuScenes key frames with the sweeps before them and their boxes in the sensor's frame."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.lidar.boxes import heading_of
from jaxvision.data.lidar.nuscenes_tables import CLASS_OF, LIDAR, Pose, Row, Tables
from jaxvision.data.lidar.scan import read_floats
from jaxvision.errors import InputError
from jaxvision.ops.quaternions import heading, product

IGNORE = "ignore"  # of categories that are not detected


@dataclass(frozen=True)
class Sweep:
    """An earlier scan. transform: its coordinates to the key frame's; None: they are the same.
    lag: seconds before the key frame."""

    token: str
    file: str
    transform: Float[np.ndarray, "4 4"] | None
    lag: float

    def points(self, root: Path) -> Float[np.ndarray, "n 5"]:
        """x, y, z in the key frame, intensity, lag; returns off the vehicle itself are dropped."""
        read = read_floats(root / self.file, 5)[:, :4]
        near = np.all(np.abs(read[:, :2]) < 1, axis=1)
        points = np.empty((len(read) - int(near.sum()), 5), np.float32)
        points[:, :4], points[:, 4] = read[~near], self.lag
        if self.transform is not None:
            moved = points[:, :3].astype(float) @ self.transform[:3, :3].T
            points[:, :3] = moved + self.transform[:3, 3]
        return points


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A key frame.

    file: of its points, below the root.  sensor: in the vehicle; ego: the vehicle in the world.
    boxes: x, y, z, w, l, h, vx, vy, yaw in the sensor's frame, velocity NaN where unknown.
    velocities: all three components.  counts: lidar and radar points in each box.
    """

    token: str
    scene: str
    timestamp: float
    file: str
    sensor: Pose
    ego: Pose
    sweeps: tuple[Sweep, ...]
    names: tuple[str, ...]
    boxes: Float[np.ndarray, "n 9"]
    velocities: Float[np.ndarray, "n 3"]
    annotations: tuple[str, ...]
    counts: Int[np.ndarray, " n"]

    def key_points(self, root: Path) -> Float[np.ndarray, "n 5"]:
        """The key frame's own points: x, y, z, intensity, lag 0."""
        points = read_floats(root / self.file, 5)
        points[:, 4] = 0
        return points

    def with_points_inside(self) -> "Frame":
        """Without the boxes that hold neither a lidar nor a radar point."""
        kept = np.flatnonzero(self.counts > 0)
        return replace(
            self,
            names=tuple(self.names[n] for n in kept),
            boxes=self.boxes[kept],
            velocities=self.velocities[kept],
            annotations=tuple(self.annotations[n] for n in kept),
            counts=self.counts[kept],
        )


def read_frame(tables: Tables, sample: str, sweeps: int) -> Frame:
    """One sample. InputError where a table misses what it names."""
    row = tables.row("sample", sample, "a scene")
    key = tables.key_frames.get(sample)
    if key is None:
        file = tables.root / tables.version / "sample_data.json"
        raise InputError(f"{file}: no {LIDAR} key frame of sample {sample}")
    sensor, ego = tables.poses(key)
    time = 1e-6 * key["timestamp"]
    scene = tables.row("scene", row["scene_token"], f"sample {sample}")
    to_key = sensor.inverse @ ego.inverse
    names, boxes, velocities = [], [], []
    notes = tables.annotations[sample]
    for note in notes:
        names.append(CLASS_OF.get(tables.category(note), IGNORE))
        pose = Pose.of(note, f"sample_annotation {note['token']}")
        centre = to_key[:3, :3] @ pose.translation + to_key[:3, 3]
        velocity = to_key[:3, :3] @ tables.velocity(note)
        # From the world to the vehicle to the sensor.
        back = np.array([1, -1, -1, -1])
        turned = product(sensor.rotation * back, product(ego.rotation * back, pose.rotation))
        yaw = heading_of(heading(turned))
        boxes.append([*centre, *note["size"], *velocity[:2], yaw])
        velocities.append(velocity)
    return Frame(
        token=sample,
        scene=scene["name"],
        timestamp=time,
        file=key["filename"],
        sensor=sensor,
        ego=ego,
        sweeps=_sweeps_before(tables, key, to_key, time, sweeps - 1),
        names=tuple(names),
        boxes=np.array(boxes, float).reshape(-1, 9),
        velocities=np.array(velocities, float).reshape(-1, 3),
        annotations=tuple(note["token"] for note in notes),
        counts=np.array([n["num_lidar_pts"] + n["num_radar_pts"] for n in notes], np.int64),
    )


def _sweeps_before(
    tables: Tables, key: Row, to_key: np.ndarray, time: float, count: int
) -> tuple[Sweep, ...]:
    """Newest first; where the history is too short the oldest is repeated, and without any the key
    frame itself stands in."""
    found: list[Sweep] = []
    current, seen = key, {key["token"]}
    while len(found) < count:
        if current["prev"]:
            asked_by = f"sample_data {current['token']}"
            current = tables.row("sample_data", current["prev"], asked_by)
            if current["token"] in seen:
                raise InputError(f"{asked_by}: the chain of scans before it comes back to itself")
            seen.add(current["token"])
            sensor, ego = tables.poses(current)
            transform = to_key @ ego.matrix @ sensor.matrix
            lag = time - 1e-6 * current["timestamp"]
            found.append(Sweep(current["token"], current["filename"], transform, lag))
        elif found:
            found.append(found[-1])
        else:
            found.append(Sweep(key["token"], key["filename"], None, 0.0))
    return tuple(found)


def merge(
    key: Float[np.ndarray, "n 5"], sweeps: list[Float[np.ndarray, "m 5"]]
) -> Float[np.ndarray, "k 5"]:
    """The key frame's points, then each sweep's."""
    return np.concatenate([key, *sweeps]).astype(np.float32)
