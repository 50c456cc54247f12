"""Boxes drawn into pictures of point clouds: edges, scores, velocities."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from jaxvision.data.lidar.boxes import corners_above, heading_of
from jaxvision.viz.points import (
    BACKGROUND,
    NEAREST,
    birds_eye,
    perspective,
    place_above,
    place_ahead,
    reach_of,
)

GROUND_TRUTH = (255, 255, 255)
CAPTION = (230, 230, 120)
GREY = 96
# Corners 0-3 below, 4-7 above them.
EDGES = [*((n, (n + 1) % 4) for n in range(4)), *((n + 4, (n + 1) % 4 + 4) for n in range(4))]
EDGES += [(n, n + 4) for n in range(4)]


class BoxDrawing(NamedTuple):
    """What is drawn into a scan. boxes: as found, with a colour and a caption each.  truth: boxes
    of the ground truth, white and without captions."""

    boxes: Float[np.ndarray, "k d"]
    colours: UInt8[np.ndarray, "k 3"]
    captions: Sequence[str]
    truth: Float[np.ndarray, "m d"]

    def groups(self) -> Iterator[tuple[np.ndarray, list[tuple[int, ...]]]]:
        """Boxes and their colours, the truth first: what is found lies over it."""
        yield self.truth, [GROUND_TRUTH] * len(self.truth)
        yield self.boxes, [tuple(map(int, colour)) for colour in self.colours]


def corners(boxes: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k 8 3"]:
    """Corners of boxes x, y, z, w, l, h, ..., yaw: four below, the four above them."""
    flat = corners_above(boxes)
    half = boxes[:, None, 5:6] / 2
    found = [
        np.concatenate([flat, np.broadcast_to(boxes[:, None, 2:3] + side, (*flat.shape[:2], 1))], 2)
        for side in (-half, half)
    ]
    return np.concatenate(found, axis=1)


def arrows(boxes: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k 2 3"]:
    """From each centre to where the box will be in a second; without a velocity, to its front."""
    start = boxes[:, :3].astype(float)
    if boxes.shape[1] == 9:
        step = boxes[:, 6:8]
    else:
        angle = heading_of(boxes[:, -1])
        step = np.stack([np.cos(angle), np.sin(angle)], axis=1) * boxes[:, 4:5] / 2
    return np.stack([start, start + np.pad(step, ((0, 0), (0, 1)))], axis=1)


def shade(points: Float[np.ndarray, "n c"]) -> UInt8[np.ndarray, "n 3"]:
    """Greys by height, so that coloured boxes stand out."""
    z = points[:, 2]
    low, high = np.quantile(z, 0.02), np.quantile(z, 0.98)
    share = np.clip((z - low) / max(high - low, 1e-3), 0, 1)
    grey = (BACKGROUND + 40 + (GREY + 60) * share).astype(np.uint8)
    return np.repeat(grey[:, None], 3, axis=1)


def draw_above(
    points: Float[np.ndarray, "n c"], drawing: BoxDrawing, side: int = 640
) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """The scan from above, boxes with their captions and velocities (one second)."""
    picture = Image.fromarray(birds_eye(points[:, :3], shade(points), side))
    draw, reach = ImageDraw.Draw(picture), reach_of(points[:, :3])

    def place(xyz: np.ndarray) -> list[tuple[float, float]]:
        row, column = place_above(xyz, reach, side)
        return list(zip(column.tolist(), row.tolist(), strict=True))

    for boxes, colours in drawing.groups():
        for box, arrow, colour in zip(corners(boxes), arrows(boxes), colours, strict=True):
            draw.polygon(place(box[:4]), outline=colour)
            draw.line(place(arrow), fill=colour)
    for box, caption in zip(drawing.boxes, drawing.captions, strict=True):
        draw.text(place(box[None, :3])[0], caption, fill=CAPTION)
    return np.asarray(picture)


def draw_ahead(
    points: Float[np.ndarray, "n c"], drawing: BoxDrawing, size: tuple[int, int] = (360, 640)
) -> UInt8[np.ndarray, "h w 3"]:
    """The same in perspective, along +x from behind the sensor."""
    picture = Image.fromarray(perspective(points[:, :3], shade(points), size))
    draw = ImageDraw.Draw(picture)
    for boxes, colours in drawing.groups():
        for box, colour in zip(corners(boxes), colours, strict=True):
            row, column, depth = place_ahead(box, size)
            if depth.min() < NEAREST:
                continue
            for a, b in EDGES:
                draw.line([(column[a], row[a]), (column[b], row[b])], fill=colour)
    for box, caption in zip(drawing.boxes, drawing.captions, strict=True):
        top = box[None, :3] + np.array([0, 0, box[5] / 2])
        row, column, depth = place_ahead(top, size)
        if depth[0] > NEAREST:
            draw.text((column[0], row[0] - 10), caption, fill=CAPTION)
    return np.asarray(picture)
