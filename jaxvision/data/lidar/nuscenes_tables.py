"""The official nuScenes tables by token, without the devkit."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxvision.errors import InputError
from jaxvision.ops.quaternions import rotation_matrix
from jaxvision.text_files import a_count, a_token, read_json

Row = dict[str, Any]
LIDAR = "LIDAR_TOP"
# Detection class of each category that has one.
CLASS_OF = {
    "movable_object.barrier": "barrier",
    "vehicle.bicycle": "bicycle",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.car": "car",
    "vehicle.construction": "construction_vehicle",
    "vehicle.motorcycle": "motorcycle",
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "movable_object.trafficcone": "traffic_cone",
    "vehicle.trailer": "trailer",
    "vehicle.truck": "truck",
}
RACK = "static_object.bicycle_rack"
# What is read of a record of each table. Tokens become parts of files' names.
LINKS = {"prev": str, "next": str}
PLACE = {"translation": (float,) * 3, "rotation": (float,) * 4}
RECORDS: dict[str, dict[str, Any]] = {
    "scene": {"name": str, "first_sample_token": str},
    "sample": {"scene_token": str, "timestamp": int, **LINKS},
    "sample_data": {
        **{"sample_token": str, "ego_pose_token": str, "calibrated_sensor_token": str},
        **{"timestamp": int, "is_key_frame": bool, "filename": str, **LINKS},
    },
    "sample_annotation": {
        **{"sample_token": str, "instance_token": str, "attribute_tokens": [str], **PLACE},
        **{"size": (float,) * 3, "num_lidar_pts": a_count, "num_radar_pts": a_count, **LINKS},
    },
    "calibrated_sensor": {"sensor_token": str},
    "sensor": {"channel": str},
    "instance": {"category_token": str},
    "category": {"name": str},
    "attribute": {"name": str},
    "lidarseg": {"filename": str},
}
# Longest gap (s) over which a velocity is trusted, one-sided.
MAX_GAP = 1.5


@dataclass(frozen=True)
class Pose:
    """translation (m), rotation (quaternion w, x, y, z) of a frame in its parent."""

    translation: Float[np.ndarray, " 3"]
    rotation: Float[np.ndarray, " 4"]

    @classmethod
    def of(cls, row: Row, source: str) -> "Pose":
        """From a record. InputError where it has no whole pose."""
        try:
            translation = np.array(row["translation"], float).reshape(3)
            rotation = np.array(row["rotation"], float).reshape(4)
        except (KeyError, ValueError, TypeError, OverflowError):
            raise InputError(f"{source}: no translation (3) and rotation (4) in it") from None
        if not np.isfinite([*translation, *rotation]).all():
            raise InputError(f"{source}: a pose that is NaN or infinite")
        if not np.any(rotation):
            raise InputError(f"{source}: a rotation of length 0")
        return cls(translation, rotation)

    @property
    def matrix(self) -> Float[np.ndarray, "4 4"]:
        """This frame's coordinates to the parent's."""
        found = np.eye(4)
        found[:3, :3], found[:3, 3] = rotation_matrix(self.rotation), self.translation
        return found

    @property
    def inverse(self) -> Float[np.ndarray, "4 4"]:
        """The parent's coordinates to this frame's."""
        found = np.eye(4)
        found[:3, :3] = rotation_matrix(self.rotation).T
        found[:3, 3] = found[:3, :3] @ -self.translation
        return found


@dataclass(frozen=True)
class Tables:
    """Tables of one version, read when first asked for. Rows come in any order; "" ends a chain."""

    root: Path
    version: str

    def __hash__(self) -> int:
        return hash((self.root, self.version))

    @cached_property
    def _read(self) -> dict[str, dict[str, Row]]:
        return {}

    def table(self, name: str) -> dict[str, Row]:
        """Records by token, in the file's order."""
        if name not in self._read:
            path = self.root / self.version / f"{name}.json"
            rows = read_json(path, [{"token": a_token, **RECORDS.get(name, {})}])
            self._read[name] = {row["token"]: row for row in rows}
            if len(self._read[name]) < len(rows):
                raise InputError(f"{path}: a token that comes twice")
        return self._read[name]

    def row(self, name: str, token: str, asked_by: str) -> Row:
        """One record. InputError where the table misses it.  asked_by: who names it."""
        found = self.table(name).get(token)
        if found is None:
            file = self.root / self.version / f"{name}.json"
            raise InputError(f"{file}: no record {token!r}, which {asked_by} names")
        return found

    @cached_property
    def key_frames(self) -> dict[str, Row]:
        """The LIDAR_TOP key frame (sample_data) of every sample."""
        found = {}
        for token, row in self.table("sample_data").items():
            if row["is_key_frame"] and self.channel(row) == LIDAR:
                self.row("sample", row["sample_token"], f"sample_data {token}")
                found[row["sample_token"]] = row
        return found

    def channel(self, data: Row) -> str:
        """The sensor of a sample_data record."""
        calibrated = self.row(
            "calibrated_sensor", data["calibrated_sensor_token"], f"sample_data {data['token']}"
        )
        asked_by = f"calibrated_sensor {calibrated['token']}"
        return self.row("sensor", calibrated["sensor_token"], asked_by)["channel"]

    def poses(self, data: Row) -> tuple[Pose, Pose]:
        """The sensor in the vehicle, and the vehicle in the world, of a sample_data record."""
        asked_by = f"sample_data {data['token']}"
        sensor = self.row("calibrated_sensor", data["calibrated_sensor_token"], asked_by)
        ego = self.row("ego_pose", data["ego_pose_token"], asked_by)
        return (
            Pose.of(sensor, f"calibrated_sensor {sensor['token']}"),
            Pose.of(ego, f"ego_pose {ego['token']}"),
        )

    def samples(self, scenes: tuple[str, ...] | None = None) -> list[str]:
        """Samples of some scenes (all where None), scene by scene in the table's order, each in
        time. InputError for a scene that is not there."""
        by_name = {row["name"]: row for row in self.table("scene").values()}
        if scenes is not None and not set(scenes) & set(by_name):
            raise InputError(
                f"{self.root / self.version}/scene.json: none of the {len(scenes)} scenes asked "
                f"for ({', '.join(scenes[:3])})"
            )
        found = []
        for name, scene in by_name.items():
            if scenes is not None and name not in scenes:
                continue
            token, asked_by = scene["first_sample_token"], f"scene {name}"
            seen: set[str] = set()
            while token:
                if token in seen:
                    file = self.root / self.version / "sample.json"
                    raise InputError(f"{file}: the chain of scene {name} comes back to {token}")
                seen.add(token)
                found.append(token)
                token, asked_by = self.row("sample", token, asked_by)["next"], f"sample {token}"
        return found

    @cached_property
    def annotations(self) -> dict[str, list[Row]]:
        """Annotations of every sample, in the table's order."""
        found: dict[str, list[Row]] = {token: [] for token in self.table("sample")}
        for token, row in self.table("sample_annotation").items():
            self.row("sample", row["sample_token"], f"sample_annotation {token}")
            found[row["sample_token"]].append(row)
        return found

    def category(self, annotation: Row) -> str:
        """An annotation's category: its instance's."""
        asked_by = f"sample_annotation {annotation['token']}"
        instance = self.row("instance", annotation["instance_token"], asked_by)
        asked_by = f"instance {instance['token']}"
        return self.row("category", instance["category_token"], asked_by)["name"]

    def attribute(self, annotation: Row) -> str:
        """An annotation's attribute, "" where it has none. InputError where it has several."""
        tokens = annotation["attribute_tokens"]
        source = f"sample_annotation {annotation['token']}"
        if len(tokens) > 1:
            raise InputError(f"{source}: {len(tokens)} attributes; expected at most one")
        return self.row("attribute", tokens[0], source)["name"] if tokens else ""

    def velocity(self, annotation: Row) -> Float[np.ndarray, " 3"]:
        """m/s in the world from the neighbours of the track; NaN without one, or over a gap of more
        than 1.5 s (3 s between two neighbours)."""
        asked_by = f"sample_annotation {annotation['token']}"
        first, last, max_gap = annotation, annotation, MAX_GAP
        if annotation["prev"]:
            first = self.row("sample_annotation", annotation["prev"], asked_by)
        if annotation["next"]:
            last = self.row("sample_annotation", annotation["next"], asked_by)
        if annotation["prev"] and annotation["next"]:
            max_gap *= 2
        times = [
            1e-6 * self.row("sample", row["sample_token"], asked_by)["timestamp"]
            for row in (first, last)
        ]
        gap = times[1] - times[0]
        if first is last or gap > max_gap:
            return np.full(3, np.nan)
        if gap <= 0:
            raise InputError(f"{asked_by}: the one before it is not earlier than the one after")
        return (np.array(last["translation"]) - np.array(first["translation"])) / gap
