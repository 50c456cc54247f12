"""Made-up streets whose cars and people move, with a box around each: data for detectors."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from jaxvision.data.lidar.boxed_scan import BoxedScan
from jaxvision.data.lidar.boxes import collisions, corners_above, heading_of, points_inside
from jaxvision.data.lidar.ray_casting import Scene, Sensor
from jaxvision.data.lidar.streets import CAR, PERSON, Street, observe

NAMES = {CAR: "car", PERSON: "pedestrian"}


@dataclass(frozen=True)
class MovingStreet:
    """A street at time 0 in the frame of a sensor at its origin.

    velocities: x, y (m/s) of each solid box, 0 for what stands.  movers: rows of cars and people.
    """

    street: Street
    scene: Scene
    velocities: Float[np.ndarray, "b 2"]
    movers: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, most_heading: float = np.pi) -> "MovingStreet":
        """Cars keep to the right and half of them drive, most people walk; no two overlap."""
        street = Street.draw(rng, most_heading)
        scene = street.scene
        movable = np.isin(scene.box_labels, list(NAMES))
        found = detector_boxes(scene.boxes, np.zeros((len(movable), 2)))
        corners = corners_above(found)
        kept = np.ones(len(movable), bool)
        for row in np.flatnonzero(movable):
            before = np.flatnonzero(movable & kept)
            before = before[before < row]
            kept[row] = not collisions(corners[row : row + 1], corners[before]).any()
        scene = Scene(
            scene.boxes[kept], scene.box_labels[kept], scene.balls, scene.ball_labels, scene.ground
        )
        velocities = np.zeros((len(scene.boxes), 2))
        movers = np.flatnonzero(np.isin(scene.box_labels, list(NAMES)))
        # A box looks the same from both ends: where it heads, its side of the street tells.
        facing_back = street.left_of_middle(scene.boxes[:, :2]) > 0
        scene.boxes[facing_back & (scene.box_labels == CAR), 6] += np.pi
        for row in movers:
            if scene.box_labels[row] == CAR:
                speed, angle = rng.uniform(3, 10) * (rng.random() < 0.5), scene.boxes[row, 6]
            else:
                speed, angle = (
                    rng.uniform(0.5, 2) * (rng.random() < 0.7),
                    rng.uniform(-np.pi, np.pi),
                )
            velocities[row] = speed * np.cos(angle), speed * np.sin(angle)
        return cls(street, scene, velocities, movers)

    def at(self, time: float) -> Float[np.ndarray, "b 7"]:
        """Solid boxes at a time (s): x, y, z, length, width, height, heading."""
        boxes = self.scene.boxes.copy()
        boxes[:, :2] += time * self.velocities
        return boxes

    def scan(
        self,
        time: float,
        sensor: Sensor,
        rng: np.random.Generator,
        place: tuple[float, float] = (0.0, 0.0),
        turn: float = 0.0,
    ) -> Float[np.ndarray, "n 4"]:
        """Points x, y, z, reflectance (0 to 1) from a sensor at `place`, turned by `turn`."""
        boxes, balls = self.at(time), self.scene.balls.copy()
        c, s = np.cos(turn), np.sin(turn)
        rotation = np.array([[c, -s], [s, c]])
        for solids in (boxes, balls):
            solids[:, :2] = (solids[:, :2] - place) @ rotation
        boxes[:, 6] -= turn
        scene = Scene(
            boxes, self.scene.box_labels, balls, self.scene.ball_labels, self.scene.ground
        )
        surface = self.street.surface
        return observe(scene, lambda xy: surface(xy @ rotation.T + place), sensor, rng).points


def detector_boxes(
    solids: Float[np.ndarray, "b 7"], velocities: Float[np.ndarray, "b 2"]
) -> Float[np.ndarray, "b 9"]:
    """Solids as the detector's boxes."""
    x, y, z, length, width, height, heading = solids.T
    vx, vy = velocities.T
    columns = [x, y, z, width, length, height, vx, vy, heading_of(heading)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class MovingStreets:
    """`count` scans, each of a street of its own, a function of the seed and its number.

    sweeps: scans merged, `gap` seconds apart.  most_heading: of `Street.draw`.  Boxes without a
    point in the newest are left out.
    """

    count: int
    seed: int = 0
    sensor: Sensor = field(default_factory=Sensor)
    sweeps: int = 1
    gap: float = 0.1
    most_heading: float = np.pi

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"moving street {self.seed}/{index}"

    def __getitem__(self, index: int) -> BoxedScan:
        rng = np.random.default_rng((self.seed, index))
        street = MovingStreet.draw(rng, self.most_heading)
        scans = []
        for number in range(self.sweeps):
            points = street.scan(-number * self.gap, self.sensor, rng)
            lag = np.full((len(points), 1), number * self.gap, np.float32)
            scans.append(np.concatenate([points, lag], axis=1).astype(np.float32))
        boxes = detector_boxes(street.at(0.0), street.velocities)[street.movers]
        seen = points_inside(scans[0], boxes).any(axis=1)
        labels = street.scene.box_labels[street.movers][seen]
        return BoxedScan(
            scans[0],
            boxes[seen].astype(np.float32),
            tuple(NAMES[int(label)] for label in labels),
            tuple(scans[1:]),
        )
