"""Pictures of point clouds: from above, and in perspective from behind the sensor."""

import colorsys

import numpy as np
from jaxtyping import Float, Int, UInt8

BACKGROUND = 18
NEAREST = 0.5  # depth (m) from which a picture in perspective shows something


def class_colours(classes: int) -> UInt8[np.ndarray, "{classes} 3"]:
    """Colours far apart in hue; class 0 (ignored) is grey."""
    golden = 0.61803398875
    colours = [
        colorsys.hsv_to_rgb(n * golden % 1, 0.55 + 0.4 * (n % 2), 0.95) for n in range(classes)
    ]
    table = (255 * np.array(colours)).astype(np.uint8)
    table[0] = 110
    return table


def birds_eye(
    points: Float[np.ndarray, "n 3"], colours: UInt8[np.ndarray, "n 3"], side: int = 640
) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """From above, x up and y to the left; the highest point of a pixel is seen."""
    row, column = place_above(points, reach_of(points), side)
    pixel = np.floor(row).astype(int), np.floor(column).astype(int)
    return _splat(*pixel, points[:, 2], colours, (side, side))


def reach_of(points: Float[np.ndarray, "n 3"]) -> float:
    """How far (m) a picture from above reaches, so that it shows nearly all points."""
    return max(float(np.quantile(np.abs(points[:, :2]), 0.995)), 1.0)


def place_above(
    points: Float[np.ndarray, "n 3"], reach: float, side: int = 640
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Row and column of points in a picture from above."""
    scale = side / (2 * reach)
    return side / 2 - points[:, 0] * scale, side / 2 - points[:, 1] * scale


def perspective(
    points: Float[np.ndarray, "n 3"],
    colours: UInt8[np.ndarray, "n 3"],
    size: tuple[int, int] = (360, 640),
) -> UInt8[np.ndarray, "h w 3"]:
    """Along +x from 12 m behind and 6 m above the sensor; nearer points cover farther ones."""
    row, column, depth = place_ahead(points, size)
    pixel = np.floor(row).astype(int), np.floor(column).astype(int)
    return _splat(*pixel, -depth, colours, size)


def place_ahead(
    points: Float[np.ndarray, "n 3"], size: tuple[int, int] = (360, 640)
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Row, column and depth (m) of points in a picture in perspective; what lies behind it stands
    above it, in row -9."""
    pitch = np.deg2rad(18)
    x, y, z = points[:, 0] + 12, points[:, 1], points[:, 2] - 6
    depth = np.cos(pitch) * x - np.sin(pitch) * z
    up = np.sin(pitch) * x + np.cos(pitch) * z
    ahead = depth > NEAREST
    focal = 0.8 * size[1]
    safe = np.where(ahead, depth, 1.0)
    row = np.where(ahead, size[0] / 2 - focal * up / safe, -9.0)
    return row, size[1] / 2 - focal * y / safe, depth


def _splat(
    row: Int[np.ndarray, " n"],
    column: Int[np.ndarray, " n"],
    priority: Float[np.ndarray, " n"],
    colours: UInt8[np.ndarray, "n 3"],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "h w 3"]:
    """Dots of 2 x 2 pixels, drawn in rising order of priority."""
    picture = np.full((*size, 3), BACKGROUND, np.uint8)
    order = np.argsort(priority, kind="stable")
    for down in (0, 1):
        for right in (0, 1):
            r, c = row[order] + down, column[order] + right
            inside = (r >= 0) & (r < size[0]) & (c >= 0) & (c < size[1])
            picture[r[inside], c[inside]] = colours[order][inside]
    return picture
