"""What a spinning LiDAR sees of upright boxes, balls and the ground, from its own position."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Scene:
    """Solids around a sensor at the origin (m), each with a label.

    boxes: centre x, y, z, length, width, height, yaw (rad).  balls: centre x, y, z, radius.
    ground: height of the ground plane; what lies on it is said by a function of x, y elsewhere.
    """

    boxes: Float[np.ndarray, "b 7"]
    box_labels: Int[np.ndarray, " b"]
    balls: Float[np.ndarray, "s 4"]
    ball_labels: Int[np.ndarray, " s"]
    ground: float


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """beams: lasers, evenly spread over `elevation` (degrees, lowest then highest).
    azimuths: firings a turn.  farthest: range (m).  noise: of the range (m).
    dropped: share of returns that get lost."""

    beams: int = 32
    azimuths: int = 360
    elevation: tuple[float, float] = (-25.0, 3.0)
    farthest: float = 50.0
    noise: float = 0.02
    dropped: float = 0.05

    def directions(self) -> Float[np.ndarray, "r 3"]:
        """Unit vectors of one turn, beam by beam within a firing, as sensors write them."""
        low, high = np.deg2rad(self.elevation)
        elevation = np.linspace(high, low, self.beams)
        azimuth = np.linspace(-np.pi, np.pi, self.azimuths, endpoint=False)
        a, e = np.meshgrid(azimuth, elevation, indexing="ij")
        rays = [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)]
        return np.stack(rays, axis=-1).reshape(-1, 3)


def first_hits(
    directions: Float[np.ndarray, "r 3"], scene: Scene
) -> tuple[Float[np.ndarray, " r"], Int[np.ndarray, " r"]]:
    """Distance to the first solid of each ray and its label; the ground's is -1, no hit inf, -2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        down = scene.ground / directions[:, 2]
    distance = np.where(down > 0, down, np.inf)
    label = np.where(down > 0, -1, -2)
    solids = [(_box, scene.boxes, scene.box_labels), (_ball, scene.balls, scene.ball_labels)]
    for hit_of, shapes, labels in solids:
        for shape, name in zip(shapes, labels, strict=True):
            hit = hit_of(directions, shape)
            nearer = hit < distance
            distance = np.where(nearer, hit, distance)
            label = np.where(nearer, name, label)
    return distance, label


def _box(directions: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Distance to an upright box, by slabs in its own frame; inf where it is missed or behind."""
    centre, size, yaw = box[:3], box[3:6], box[6]
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    rays, origin = directions @ turn.T, -turn @ centre
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (-size / 2 - origin) / rays, (size / 2 - origin) / rays
    enter = np.minimum(near, far).max(axis=1)
    leave = np.maximum(near, far).min(axis=1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def _ball(directions: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """Distance to a ball; inf where it is missed or behind."""
    along = directions @ ball[:3]
    inside = ball[3] ** 2 - (ball[:3] @ ball[:3] - along**2)
    enter = along - np.sqrt(np.maximum(inside, 0))
    return np.where((inside > 0) & (enter > 0), enter, np.inf)
