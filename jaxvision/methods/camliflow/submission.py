"""What KITTI's server takes, of flow in pixels and scene flow at some points."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from jaxvision.data.scene_flow.geometry import Camera, lift_disparity
from jaxvision.ops.point_interpolation import point_interpolation

dense_interpolation = jax.jit(point_interpolation)


class DenseMotion(NamedTuple):
    """flow_3d: of the pixels with a disparity, row by row, metres.  disparity_2: of the first
    frame's pixels in the second one, -1 where there is none.  leaves: pixels whose flow leads out
    of the picture."""

    flow_3d: Float[np.ndarray, "n 3"]
    disparity_2: Float[np.ndarray, "h w"]
    leaves: Bool[np.ndarray, "h w"]


def densify(
    disparity: Float[np.ndarray, "h w"],
    cloud: Float[np.ndarray, "m 3"],
    flow_3d: Float[np.ndarray, "m 3"],
    flow_2d: Float[np.ndarray, "h w 2"],
    *,
    camera: Camera,
    baseline: float,
) -> DenseMotion:
    """Scene flow at every pixel by its three nearest points. disparity: above 0 where known."""
    known = disparity > 0
    points = lift_disparity(disparity, camera, baseline)[known]
    flow = np.asarray(dense_interpolation(cloud[None], flow_3d[None], points[None])[0])
    second = np.full(disparity.shape, -1, np.float32)
    second[known] = baseline * camera.f / (points[:, 2] + flow[:, 2])
    height, width = disparity.shape
    x = np.arange(width) + flow_2d[..., 0]
    y = np.arange(height)[:, None] + flow_2d[..., 1]
    return DenseMotion(flow, second, (x < 0) | (x > width) | (y < 0) | (y > height))
