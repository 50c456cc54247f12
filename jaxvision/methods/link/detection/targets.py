"""What the head should say of a scan's boxes: heat maps and regression targets (on the host)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvision.methods.link.detection.objective import TaskTargets

MIN_RADIUS = 2  # cells
OVERLAP = 0.1


def gaussian_radius(height: float, width: float, overlap: float) -> float:
    """Radius within which a shifted box still overlaps by `overlap`: CornerNet's rule, as published
    (the roots are not divided by the leading coefficient)."""
    total, area = height + width, height * width
    roots = []
    for a, b, c in (
        (1.0, total, area * (1 - overlap) / (1 + overlap)),
        (4.0, 2 * total, (1 - overlap) * area),
        (4 * overlap, -2 * overlap * total, (overlap - 1) * area),
    ):
        roots.append((b + np.sqrt(b * b - 4 * a * c)) / 2)
    return min(roots)


def draw_gaussian(heat: Float[np.ndarray, "h w"], centre: tuple[float, float], radius: int) -> None:
    """Raise `heat` to a Gaussian of 2 * radius + 1 cells around the cell of centre x, y."""
    side = np.arange(-radius, radius + 1)
    sigma = (2 * radius + 1) / 6
    bump = np.exp(-(side[None] ** 2 + side[:, None] ** 2) / (2 * sigma * sigma))
    bump[bump < np.finfo(bump.dtype).eps * bump.max()] = 0
    x, y = int(centre[0]), int(centre[1])
    height, width = heat.shape
    left, right = min(x, radius), min(width - x, radius + 1)
    top, bottom = min(y, radius), min(height - y, radius + 1)
    if left + right <= 0 or top + bottom <= 0:
        return
    part = heat[y - top : y + bottom, x - left : x + right]
    shown = bump[radius - top : radius + bottom, radius - left : radius + right]
    np.maximum(part, shown, out=part)


def wrap_yaw(yaw: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The same angle in [-pi, pi)."""
    period = 2 * np.pi
    return yaw - np.floor(yaw / period + 0.5) * period


@dataclass(frozen=True, kw_only=True)
class TargetMaker:
    """tasks: number of classes of each.  origin, cell: as in `Decoding`.  shape: rows (y), columns
    (x) of the maps.  slots: most boxes of a task.  velocity: whether boxes carry one."""

    tasks: tuple[int, ...]
    origin: tuple[float, float]
    cell: tuple[float, float]
    shape: tuple[int, int]
    slots: int = 500
    velocity: bool = True
    overlap: float = OVERLAP
    min_radius: int = MIN_RADIUS

    def order(self, classes: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " m"]]:
        """Rows of each task's boxes: by class, then as they came."""
        found, first = [], 0
        for count in self.tasks:
            ids = range(first, first + count)
            found.append(np.concatenate([np.flatnonzero(classes == k) for k in ids]))
            first += count
        return found

    def __call__(
        self, boxes: Float[np.ndarray, "n d"], classes: Int[np.ndarray, " n"]
    ) -> list[TaskTargets]:
        """Targets of one scan, without a batch axis, one entry a task.

        boxes: x, y, z, w, l, h, vx, vy, yaw (a velocity is there whether used or not).
        """
        boxes = boxes.astype(np.float32).copy()
        boxes[:, -1] = wrap_yaw(boxes[:, -1])
        first, found = 0, []
        for count, rows in zip(self.tasks, self.order(classes), strict=True):
            found.append(self._task(boxes[rows], classes[rows] - first, count))
            first += count
        return found

    def _task(self, boxes: np.ndarray, classes: np.ndarray, count: int) -> TaskTargets:
        height, width = self.shape
        heat = np.zeros((count, height, width), np.float32)
        target = np.zeros((self.slots, 10 if self.velocity else 8), np.float32)
        cell, mask, category = (np.zeros(self.slots, np.int32) for _ in range(3))
        for slot in range(min(len(boxes), self.slots)):
            box, kind = boxes[slot], classes[slot]
            w, length = box[3] / self.cell[0], box[4] / self.cell[1]
            if w <= 0 or length <= 0:
                continue
            radius = int(gaussian_radius(float(length), float(w), self.overlap))
            centre = ((box[:2] - self.origin) / self.cell).astype(np.float32)
            # Truncation towards zero: a centre less than a cell below the range still counts.
            x, y = centre.astype(np.int32)
            if not (0 <= x < width and 0 <= y < height):
                continue
            draw_gaussian(heat[kind], (x, y), max(self.min_radius, radius))
            cell[slot], mask[slot], category[slot] = y * width + x, 1, kind
            parts = [centre - (x, y), box[2:3], np.log(box[3:6])]
            parts += [box[6:8]] if self.velocity else []
            target[slot] = np.concatenate([*parts, [np.sin(box[-1]), np.cos(box[-1])]])
        return TaskTargets(np.moveaxis(heat, 0, -1), target, cell, mask, category)  # type: ignore[arg-type]

    def on_maps(self, boxes: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
        """Which boxes have their centre on the maps."""
        centre = ((boxes[:, :2] - self.origin) / self.cell).astype(np.int32)
        return np.all((centre >= 0) & (centre < self.shape[::-1]), axis=1)
