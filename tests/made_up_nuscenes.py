"""Made-up streets as a small dataset in nuScenes' official layout."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxvision.data.lidar.boxes import points_inside
from jaxvision.data.lidar.moving_streets import NAMES, MovingStreet, detector_boxes
from jaxvision.data.lidar.nuscenes_tables import LIDAR, Pose
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.data.lidar.streets import CAR
from jaxvision.ops.quaternions import about_z

SPEED = 4.0  # of the vehicle, m/s
KEY_GAP = 0.5  # s between samples
SENSOR = Pose(np.array([0.9, 0.0, 1.84]), about_z(np.array(-np.pi / 2)))
CATEGORIES = {"car": "vehicle.car", "pedestrian": "human.pedestrian.adult"}
ATTRIBUTES = ("vehicle.moving", "vehicle.parked", "pedestrian.moving", "pedestrian.standing")
START = 1_532_402_927_000_000  # us


def token(*words: Any) -> str:
    """A record's token: 32 hexadecimal digits."""
    return hashlib.md5("/".join(map(str, words)).encode()).hexdigest()


def write_nuscenes(
    root: Path,
    scenes: dict[str, int],
    seed: int = 0,
    sensor: Sensor | None = None,
    sweeps_between: int = 4,
    version: str = "v1.0-mini",
) -> None:
    """scenes: {name: number of samples}. Between two samples lie `sweeps_between` scans."""
    writer = _Writer(root, version, sensor or Sensor(), sweeps_between)
    for number, (name, samples) in enumerate(scenes.items()):
        writer.scene(name, samples, np.random.default_rng((seed, number)))
    writer.finish()


class _Writer:
    def __init__(self, root: Path, version: str, sensor: Sensor, between: int):
        self.root, self.version, self.lidar, self.between = root, version, sensor, between
        for folder in (f"samples/{LIDAR}", f"sweeps/{LIDAR}", "maps", version):
            (root / folder).mkdir(parents=True, exist_ok=True)
        names = ("scene", "sample", "sample_data", "ego_pose", "sample_annotation", "instance")
        self.tables: dict[str, list[dict[str, Any]]] = {name: [] for name in (*names, "log", "map")}
        self.tables |= {
            "sensor": [{"token": token(LIDAR), "channel": LIDAR, "modality": "lidar"}],
            "calibrated_sensor": [
                {
                    "token": token("calibrated"),
                    "sensor_token": token(LIDAR),
                    "translation": SENSOR.translation.tolist(),
                    "rotation": SENSOR.rotation.tolist(),
                    "camera_intrinsic": [],
                }
            ],
            "category": [
                {"token": token(name), "name": name, "description": "", "index": n}
                for n, name in enumerate(CATEGORIES.values())
            ],
            "attribute": [{"token": token(a), "name": a, "description": ""} for a in ATTRIBUTES],
            "visibility": [{"token": "4", "level": "v80-100", "description": ""}],
        }

    def scene(self, name: str, samples: int, rng: np.random.Generator) -> None:
        street = MovingStreet.draw(rng)
        heading = street.street.heading
        gap = KEY_GAP / (self.between + 1)
        scans = (samples - 1) * (self.between + 1) + 1
        sample_tokens = [token(name, "sample", n) for n in range(samples)]
        self._chain(name, sample_tokens)
        counts: list[np.ndarray] = []
        for scan in range(scans):
            time, key = scan * gap, scan % (self.between + 1) == 0
            # The sensor starts at the street's origin and follows the street.
            place = SPEED * time * np.array([np.cos(heading), np.sin(heading)])
            points = street.scan(time, self.lidar, rng, tuple(place), heading - np.pi / 2)
            owner = -(-scan // (self.between + 1))
            row = self._scan(name, scan, scans, time, key, sample_tokens[owner], points)
            self._pose(row, place, heading)
            if key:
                world = points.copy()
                turn = Pose(np.array([*place, 0.0]), about_z(np.array(heading - np.pi / 2)))
                world[:, :3] = points[:, :3] @ turn.matrix[:3, :3].T + turn.translation
                boxes = detector_boxes(street.at(time), street.velocities)[street.movers]
                counts.append(points_inside(world, boxes).sum(axis=1))
        self._annotations(name, street, sample_tokens, np.array(counts))

    def _chain(self, name: str, samples: list[str]) -> None:
        log = token(name, "log")
        picture = f"maps/{token(name, 'map')}.png"
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(self.root / picture)
        self.tables["log"].append(
            {"token": log, "logfile": name, "vehicle": "made up", "date_captured": "2018-07-24"}
            | {"location": "boston-seaport"}
        )
        self.tables["map"].append(
            {"token": token(name, "map"), "log_tokens": [log], "category": "semantic_prior"}
            | {"filename": picture}
        )
        self.tables["scene"].append(
            {
                "token": token(name),
                "log_token": log,
                "nbr_samples": len(samples),
                "first_sample_token": samples[0],
                "last_sample_token": samples[-1],
                "name": name,
                "description": "made up",
            }
        )
        for number, (sample, before, after) in enumerate(
            zip(samples, ["", *samples], [*samples[1:], ""], strict=False)
        ):
            timestamp = START + round(1e6 * number * KEY_GAP)
            self.tables["sample"].append(
                {"token": sample, "timestamp": timestamp, "prev": before, "next": after}
                | {"scene_token": token(name)}
            )

    def _scan(
        self,
        name: str,
        number: int,
        scans: int,
        time: float,
        key: bool,
        sample: str,
        points: np.ndarray,
    ) -> dict[str, Any]:
        timestamp = START + round(1e6 * time)
        folder = "samples" if key else "sweeps"
        file = f"{folder}/{LIDAR}/{name}__{LIDAR}__{timestamp}.pcd.bin"
        ring = np.zeros((len(points), 1), np.float32)
        # nuScenes' intensity runs to 255.
        content = np.concatenate([points[:, :3], 255 * points[:, 3:], ring], 1).astype("<f4")
        (self.root / file).write_bytes(content.tobytes())
        row = {
            "token": token(name, "scan", number),
            "sample_token": sample,
            "ego_pose_token": token(name, "scan", number),
            "calibrated_sensor_token": token("calibrated"),
            "timestamp": timestamp,
            "fileformat": "pcd",
            "is_key_frame": key,
            "height": 0,
            "width": 0,
            "filename": file,
            "prev": token(name, "scan", number - 1) if number else "",
            "next": token(name, "scan", number + 1) if number + 1 < scans else "",
        }
        self.tables["sample_data"].append(row)
        return row

    def _pose(self, row: dict[str, Any], place: np.ndarray, heading: float) -> None:
        rotation = about_z(np.array(heading))
        offset = Pose(np.zeros(3), rotation).matrix[:3, :3] @ SENSOR.translation
        self.tables["ego_pose"].append(
            {
                "token": row["ego_pose_token"],
                "timestamp": row["timestamp"],
                "rotation": rotation.tolist(),
                "translation": (np.array([*place, 0.0]) - offset).tolist(),
            }
        )

    def _annotations(
        self, name: str, street: MovingStreet, samples: list[str], counts: np.ndarray
    ) -> None:
        last = len(samples) - 1
        for row, mover in enumerate(street.movers):
            label = street.scene.box_labels[mover]
            moves = np.hypot(*street.velocities[mover]) > 0
            states = ("moving", "parked" if label == CAR else "standing")
            kind = "vehicle" if label == CAR else "pedestrian"
            tokens = [token(name, "annotation", mover, n) for n in range(len(samples))]
            instance = token(name, "instance", mover)
            self.tables["instance"].append(
                {
                    "token": instance,
                    "category_token": token(CATEGORIES[NAMES[int(label)]]),
                    "nbr_annotations": len(samples),
                    "first_annotation_token": tokens[0],
                    "last_annotation_token": tokens[-1],
                }
            )
            for number, sample in enumerate(samples):
                x, y, z, length, width, height, heading = street.at(number * KEY_GAP)[mover]
                self.tables["sample_annotation"].append(
                    {
                        "token": tokens[number],
                        "sample_token": sample,
                        "instance_token": instance,
                        "visibility_token": "4",
                        "attribute_tokens": [token(f"{kind}.{states[0 if moves else 1]}")],
                        "translation": [x, y, z],
                        "size": [width, length, height],
                        "rotation": about_z(np.array(heading)).tolist(),
                        "prev": tokens[number - 1] if number else "",
                        "next": tokens[number + 1] if number < last else "",
                        "num_lidar_pts": int(counts[number, row]),
                        "num_radar_pts": 0,
                    }
                )

    def finish(self) -> None:
        for name, rows in self.tables.items():
            (self.root / self.version / f"{name}.json").write_text(json.dumps(rows, indent=0))
