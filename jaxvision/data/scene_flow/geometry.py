"""A pinhole camera's points and pixels, and frames padded, cropped and resized with their flow.

Points are (x right, y down, z forward) in metres, pixels (x right, y down) from the centre of the
first one. Sparse flow is [h, w, 3]: u, v and whether it is valid (1 or 0).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

# Added to disparities before they divide, as CamLiFlow does.
TINY_DISPARITY = 1e-5


class Camera(NamedTuple):
    """f: focal length in pixels.  cx, cy: the principal point."""

    f: float
    cx: float
    cy: float


def lift_depth(
    depth: Float[np.ndarray, "h w"],
    camera: Camera,
    flow: Float[np.ndarray, "h w 2"] | None = None,
) -> Float[np.ndarray, "h w 3"]:
    """The point behind each pixel, or behind where its flow leads."""
    height, width = depth.shape
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(camera.cx)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(camera.cy)
    if flow is not None:
        x, y = x + flow[..., 0], y + flow[..., 1]
    f = np.float32(camera.f)
    return np.stack([x * depth / f, y * depth / f, depth], axis=-1)


def lift_disparity(
    disparity: Float[np.ndarray, "h w"],
    camera: Camera,
    baseline: float,
    flow: Float[np.ndarray, "h w 2"] | None = None,
) -> Float[np.ndarray, "h w 3"]:
    """The same by disparities, in pixels. baseline: between the two cameras, in metres."""
    depth = np.float32(baseline * camera.f) / (disparity + np.float32(TINY_DISPARITY))
    return lift_depth(depth, camera, flow)


def project(points: Float[np.ndarray, "n 3"], camera: Camera) -> Float[np.ndarray, "n 2"]:
    """Pixels of points."""
    scale = camera.f / points[..., 2:]
    return points[..., :2] * scale + np.asarray([camera.cx, camera.cy], points.dtype)


def inside(
    pixels: Float[np.ndarray, "n 2"], size: tuple[int, int], first: bool = True
) -> Bool[np.ndarray, " n"]:
    """Which pixels lie in a picture of `size` (height, width). first: those in the very middle of
    the first row or column count, too."""
    above = pixels >= 0 if first else pixels > 0
    return np.all(above & (pixels < np.asarray(size[::-1])), axis=-1)


def flip_points(
    points: Float[np.ndarray, "n 3"], camera: Camera, size: tuple[int, int], axis: int
) -> Float[np.ndarray, "n 3"]:
    """Points as a picture mirrored along `axis` (0 left-right, 1 up-down) shows them: at equal
    depth, with the principal point where it was."""
    x = points[..., axis]
    centre, last = (camera.cx, camera.cy)[axis], (size[1], size[0])[axis] - 1
    pixel = last - (centre + camera.f / points[..., 2] * x)
    flipped = points.copy()
    flipped[..., axis] = (pixel - centre) * points[..., 2] / camera.f
    return flipped


def flip_scene_flow(
    points: Float[np.ndarray, "n 3"],
    flow: Float[np.ndarray, "n c"],
    camera: Camera,
    size: tuple[int, int],
    axis: int,
) -> Float[np.ndarray, "n c"]:
    """Scene flow (and what stands behind its three columns) of mirrored points."""
    start = flip_points(points, camera, size, axis)
    end = flip_points(points + flow[:, :3], camera, size, axis)
    return np.concatenate([end - start, flow[:, 3:]], axis=-1)


def flip_flow(flow: Float[np.ndarray, "h w c"], axis: int) -> Float[np.ndarray, "h w c"]:
    """Optical flow (and what stands behind its two channels) of a mirrored picture."""
    flipped = np.flip(flow, 1 - axis).copy()
    flipped[..., axis] *= -1
    return flipped


def pad_to(picture: Shaped[np.ndarray, "h w *c"], size: tuple[int, int]) -> np.ndarray:
    """Zeros below and to the right, up to `size`."""
    below, beside = size[0] - picture.shape[0], size[1] - picture.shape[1]
    rest = [(0, 0)] * (picture.ndim - 2)
    return np.pad(picture, [(0, max(below, 0)), (0, max(beside, 0)), *rest])


def resize_sparse_flow(
    flow: Float[np.ndarray, "h w 3"], size: tuple[int, int]
) -> Float[np.ndarray, "h2 w2 3"]:
    """Valid flow scattered to the nearest pixels of a picture of `size`; the last one wins."""
    old, new = np.asarray(flow.shape[1::-1]), np.asarray(size[::-1])
    ratio = ((new - 1) / (old - 1)).astype(np.float64)
    rows, columns = np.nonzero(flow[..., 2] > 0)
    place = np.round(np.stack([columns, rows], axis=-1) * ratio).astype(np.int64)
    kept = ((place >= 0) & (place < new)).all(axis=-1)
    resized = np.zeros((*size, 3), np.float32)
    x, y = place[kept].T
    resized[y, x, :2] = (flow[rows, columns, :2] * ratio)[kept]
    resized[y, x, 2] = 1
    return resized
