"""Made-up streets under a LiDAR, with a label for every point: data that needs no download.

A street runs through the sensor: road, kerbside, terrain; cars, people, poles, trees, houses and
fences at their places. Labels are SemanticKITTI's raw ids, and `write_sequences` writes its files.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxvision.data.lidar.ray_casting import Scene, Sensor, first_hits
from jaxvision.data.lidar.scan import Scan

ROAD, SIDEWALK, TERRAIN = 40, 48, 72
CAR, PERSON, BUILDING, FENCE, VEGETATION, TRUNK, POLE = 10, 30, 50, 51, 70, 71, 80
SENSOR_HEIGHT = 1.73
# Mean reflectance of each surface, 0 to 1; returns scatter around it.
REFLECTANCE = {
    ROAD: 0.20,
    SIDEWALK: 0.32,
    TERRAIN: 0.42,
    CAR: 0.55,
    PERSON: 0.35,
    BUILDING: 0.30,
    FENCE: 0.38,
    VEGETATION: 0.48,
    TRUNK: 0.25,
    POLE: 0.65,
}


@dataclass(frozen=True)
class Streets:
    """`count` scans, each of its own street; a scan is a function of the seed and its number."""

    count: int
    seed: int = 0
    sensor: Sensor = field(default_factory=Sensor)

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"street {self.seed}/{index}"

    def __getitem__(self, index: int) -> Scan:
        rng = np.random.default_rng((self.seed, index))
        street = Street.draw(rng)
        return observe(street.scene, street.surface, self.sensor, rng)


def observe(
    scene: Scene,
    surface: Callable[[np.ndarray], np.ndarray],
    sensor: Sensor,
    rng: np.random.Generator,
) -> Scan:
    """One turn of the sensor. surface: label of the ground at x, y."""
    directions = sensor.directions()
    distance, label = first_hits(directions, scene)
    distance = distance + rng.normal(0, sensor.noise, distance.shape)
    seen = (distance < sensor.farthest) & (distance > 0.5)
    seen &= rng.random(distance.shape) >= sensor.dropped
    xyz = directions[seen] * distance[seen, None]
    label = np.where(label[seen] == -1, surface(xyz[:, :2]), label[seen])
    mean = np.zeros(max(REFLECTANCE) + 1)
    mean[list(REFLECTANCE)] = list(REFLECTANCE.values())
    reflectance = np.clip(mean[label] + rng.normal(0, 0.08, len(label)), 0, 1)
    points = np.concatenate([xyz, reflectance[:, None]], axis=1).astype(np.float32)
    return Scan(points, label.astype(np.int32))


@dataclass(frozen=True)
class Street:
    """heading (rad), lateral position of the sensor, half widths of road and of road + kerb."""

    heading: float
    offset: float
    road: float
    kerb: float
    scene: Scene

    @classmethod
    def draw(cls, rng: np.random.Generator, most_heading: float = np.pi) -> "Street":
        """most_heading: of the street in the sensor's frame (rad); pi: it runs in any direction."""
        heading, road = rng.uniform(-most_heading, most_heading), rng.uniform(3.5, 5.5)
        offset = rng.uniform(-road / 2, road / 2)
        kerb = road + rng.uniform(2, 4)
        boxes, balls = [], []

        def add(label: int, along: float, across: float, size: tuple, turn: float = 0.0, up=0.0):
            length, width, height = size
            boxes.append((label, along, across, up + height / 2, length, width, height, turn))

        def side() -> float:
            return rng.choice([-1.0, 1.0])

        def along(least: float = 4.0, most: float = 40.0) -> float:
            return side() * rng.uniform(least, most)

        for _ in range(rng.integers(4, 9)):
            size = (rng.uniform(3.6, 4.8), rng.uniform(1.6, 1.9), rng.uniform(1.4, 1.8))
            add(CAR, along(6, 30), side() * (road - 1.1), size, rng.normal(0, 0.05))
        for _ in range(rng.integers(5, 11)):
            size = (rng.uniform(0.4, 0.7), rng.uniform(0.4, 0.7), rng.uniform(1.5, 1.9))
            place = rng.uniform(road + 0.5, kerb)
            add(PERSON, along(2, 18), side() * place, size, rng.uniform(0, np.pi))
        for _ in range(rng.integers(5, 10)):
            thick = rng.uniform(0.15, 0.3)
            size = (thick, thick, rng.uniform(4, 7))
            add(POLE, along(3, 25), side() * (road + 0.4), size, rng.uniform(0, np.pi))
        for _ in range(rng.integers(4, 9)):
            x, y = along(4, 30), side() * (kerb + rng.uniform(0.8, 3))
            thick, high = rng.uniform(0.25, 0.5), rng.uniform(2, 3)
            add(TRUNK, x, y, (thick, thick, high))
            radius = rng.uniform(1.2, 2.0)
            balls.append((VEGETATION, x, y, high + 0.7 * radius, radius))
        for _ in range(rng.integers(2, 6)):
            radius = rng.uniform(0.5, 1.1)
            across = side() * (kerb + rng.uniform(0.5, 4))
            balls.append((VEGETATION, along(3, 25), across, 0.5 * radius, radius))
        for which in (-1.0, 1.0):
            place = -45.0
            while place < 45:
                length, depth = rng.uniform(8, 18), rng.uniform(6, 12)
                if rng.random() < 0.75:
                    across = which * (kerb + rng.uniform(5, 7) + depth / 2)
                    size = (length, depth, rng.uniform(4, 12))
                    add(BUILDING, place + length / 2, across, size)
                else:
                    size = (length, 0.1, rng.uniform(1.0, 1.8))
                    add(FENCE, place + length / 2, which * (kerb + 4), size)
                place += length + rng.uniform(0.5, 4)
        return cls(heading, offset, road, kerb, _scene(boxes, balls, heading, offset))

    def left_of_middle(self, xy: np.ndarray) -> np.ndarray:
        """How far x, y in the sensor's frame lie to the left of the middle of the road (m)."""
        left = np.cos(self.heading) * xy[:, 1] - np.sin(self.heading) * xy[:, 0]
        return left + self.offset

    def surface(self, xy: np.ndarray) -> np.ndarray:
        """Label of the ground at x, y in the sensor's frame."""
        across = np.abs(self.left_of_middle(xy))
        return np.where(across < self.road, ROAD, np.where(across < self.kerb, SIDEWALK, TERRAIN))


def _scene(boxes: list, balls: list, heading: float, offset: float) -> Scene:
    """Street coordinates (along, across, above ground) -> the sensor's frame."""
    c, s = np.cos(heading), np.sin(heading)
    shift = np.array([0.0, -offset, -SENSOR_HEIGHT])
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    box, ball = np.array(boxes), np.array(balls)
    box[:, 1:4] = (box[:, 1:4] + shift) @ turn
    box[:, 7] += heading
    ball[:, 1:4] = (ball[:, 1:4] + shift) @ turn
    return Scene(
        box[:, 1:], box[:, 0].astype(int), ball[:, 1:], ball[:, 0].astype(int), -SENSOR_HEIGHT
    )


def write_sequences(
    root: Path, scans: dict[int, int], seed: int = 0, sensor: Sensor | None = None
) -> list[Path]:
    """Made-up scans as SemanticKITTI files. scans: {sequence: number of scans}.

    Calibration is the identity, and so is every pose: each scan is a street of its own.
    """
    written = []
    identity = "1 0 0 0 0 1 0 0 0 0 1 0"
    for sequence, count in scans.items():
        folder = root / "sequences" / f"{sequence:02d}"
        for name in ("velodyne", "labels"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        streets = Streets(count, seed + 1000 * sequence, sensor or Sensor())
        for index in range(count):
            scan = streets[index]
            assert scan.labels is not None
            points = folder / "velodyne" / f"{index:06d}.bin"
            points.write_bytes(scan.points.astype("<f4").tobytes())
            labels = scan.labels.astype("<u4").tobytes()
            (folder / "labels" / f"{index:06d}.label").write_bytes(labels)
            written.append(points)
        calibration = "".join(f"{name}: {identity}\n" for name in ("P0", "P1", "P2", "P3", "Tr"))
        (folder / "calib.txt").write_text(calibration)
        (folder / "poses.txt").write_text(f"{identity}\n" * count)
        (folder / "times.txt").write_text("".join(f"{0.1 * n:.6e}\n" for n in range(count)))
    return written
