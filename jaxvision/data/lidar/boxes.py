"""Upright boxes of a scan, seen from above and moved with it.

A box is x, y, z (centre, m), w, l, h (m), vx, vy (m/s), yaw (rad) in the detector's frame
(det3d's): a box turned by yaw has the corners (x, y) @ [[c, -s], [s, c]], so that yaw = -heading -
pi/2 of the usual counter-clockwise heading of its length.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Boxes = Float[np.ndarray, "n 9"]


def heading_of(yaw: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Counter-clockwise heading of a box's length from the detector's yaw; its own inverse."""
    return -yaw - np.pi / 2


def corners_above(boxes: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 4 2"]:
    """Corners from above, clockwise from (-w/2, -l/2)."""
    local = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) / 2 * boxes[:, None, 3:5]
    c, s = np.cos(boxes[:, -1:]), np.sin(boxes[:, -1:])
    x, y = local[..., 0], local[..., 1]
    turned = np.stack([x * c + y * s, y * c - x * s], axis=-1)
    return turned + boxes[:, None, :2]


def collisions(
    first: Float[np.ndarray, "n 4 2"], second: Float[np.ndarray, "m 4 2"]
) -> Bool[np.ndarray, "n m"]:
    """Which rectangles (corners in turn) share ground: no axis of either separates them.

    One and the same rectangle does not collide with itself, as published.
    """
    separated = np.all(first[:, None] == second[None], axis=(2, 3))
    for owner, by_row in ((first, True), (second, False)):
        for edge in (0, 1):
            axis = owner[:, edge + 1] - owner[:, edge]
            if by_row:
                a = np.einsum("nkd,nd->nk", first, axis)[:, None]
                b = np.einsum("mkd,nd->nmk", second, axis)
            else:
                a = np.einsum("nkd,md->nmk", first, axis)
                b = np.einsum("mkd,md->mk", second, axis)[None]
            separated |= (a.max(-1) <= b.min(-1)) | (b.max(-1) <= a.min(-1))
    return ~separated


def in_range_above(
    boxes: Float[np.ndarray, "n d"], extent: tuple[float, ...]
) -> Bool[np.ndarray, " n"]:
    """Boxes of which any corner lies inside x, y minima, then maxima."""
    corners = corners_above(boxes)
    low, high = np.array(extent[:2]), np.array(extent[2:])
    return np.any(np.all((corners > low) & (corners < high), axis=-1), axis=1)


def points_inside(
    points: Float[np.ndarray, "p c"], boxes: Float[np.ndarray, "n d"]
) -> Bool[np.ndarray, "n p"]:
    """Which points lie in each box (borders included)."""
    found = np.zeros((len(boxes), len(points)), bool)
    for row, box in enumerate(boxes):
        offset = points[:, :3] - box[:3]
        c, s = np.cos(box[-1]), np.sin(box[-1])
        across = offset[:, 0] * c - offset[:, 1] * s
        along = offset[:, 0] * s + offset[:, 1] * c
        local = np.stack([across, along, offset[:, 2]], axis=1)
        found[row] = np.all(np.abs(local) <= box[3:6] / 2, axis=1)
    return found


class Motion(NamedTuple):
    """One augmentation of a scan and its boxes, in this order: flips, turn, scale, shift.

    flip_y: y becomes -y; flip_x: x becomes -x.  angle (rad).  shift: x, y, z (m).
    """

    flip_y: bool
    flip_x: bool
    angle: float
    scale: float
    shift: tuple[float, float, float]

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        angle: float = np.pi / 4,
        scale: tuple[float, float] = (0.9, 1.1),
        shift: float = 0.5,
    ) -> "Motion":
        """Flips half of the time each, turn up to +-angle, a scale, normal shift of that sigma."""
        return cls(
            bool(rng.random() < 0.5),
            bool(rng.random() < 0.5),
            rng.uniform(-angle, angle),
            rng.uniform(*scale),
            tuple(rng.normal(0, shift, 3)),
        )

    def _turn(self) -> np.ndarray:
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    def points(self, points: Float[np.ndarray, "p c"]) -> Float[np.ndarray, "p c"]:
        """Moved points; columns beyond x, y, z stay."""
        signs = np.array([-1 if self.flip_x else 1, -1 if self.flip_y else 1, 1])
        moved = points.copy()
        xyz = points[:, :3] * signs @ self._turn() * self.scale
        moved[:, :3] = xyz + np.array(self.shift)
        return moved

    def boxes(self, boxes: Boxes) -> Boxes:
        """The boxes moved with them; the velocity is flipped, turned and scaled."""
        moved = boxes.copy()
        if self.flip_y:
            moved[:, [1, 7]] *= -1
            moved[:, 8] = np.pi - moved[:, 8]
        if self.flip_x:
            moved[:, [0, 6]] *= -1
            moved[:, 8] = 2 * np.pi - moved[:, 8]
        turn = self._turn()
        moved[:, :3] = moved[:, :3] @ turn
        moved[:, 6:8] = moved[:, 6:8] @ turn[:2, :2]
        moved[:, 8] += self.angle
        moved[:, :8] *= self.scale
        moved[:, :3] += np.array(self.shift)
        return moved
