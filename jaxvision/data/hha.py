"""HHA: a depth map as a picture of three channels that a network for RGB pictures can read.

Horizontal disparity, height above the ground, angle between the surface's normal and gravity (Gupta
et al., "Learning Rich Features from RGB-D Images", section 3; rcnn-depth's `saveHHA`).
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import convolve1d

from jaxvision.errors import InputError

ANGLE_WINDOW, GRAVITY_WINDOW = 3, 10  # half sides of the windows whose planes give normals, px
GRAVITY_ROUNDS = ((45.0, 5), (15.0, 5))  # (threshold in degrees, iterations)
NEAREST_CM = 100.0  # disparity is that of this depth for all that is nearer
LOWEST_CM = -90.0  # a lowest point above this is no floor: the floor is then taken to be at
ASSUMED_FLOOR_CM = -130.0
ALIGNED_DEGREES = 0.1  # a camera this little tilted counts as level


def hha(
    depth: Float[np.ndarray, "h w"],
    intrinsics: Float[np.ndarray, "3 3"],
    missing: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """HHA of a depth map, channels in the order (disparity, height, angle).

    depth: metres along the optical axis; 0 where nothing was measured.
    intrinsics: (fx, 0, cx; 0, fy, cy; 0, 0, 1) in pixels, the first pixel being 1 as in the
        published program.
    missing: pixels that were filled in and are left out of the normals; depth 0 by default.

    disparity: 31000 / max(depth, 100 cm).  height: cm above the lowest point.  angle: degrees
    between normal and gravity, + 38; 218 where no normal is known. Rounded and cut at 255.
    InputError for a depth map without a single measured pixel.
    """
    if missing is None:
        missing = depth == 0
    if missing.all():
        raise InputError("depth map without a measured pixel; HHA needs some")
    points = point_cloud(depth * 100.0, intrinsics)
    gravity = gravity_direction(surface_normals(points, missing, GRAVITY_WINDOW))
    normals = surface_normals(points, missing, ANGLE_WINDOW)

    disparity = 31000.0 / np.maximum(points[..., 2], NEAREST_CM)
    height = height_above_ground(points, gravity)
    angle = np.degrees(np.arccos(np.clip(normals @ gravity, -1, 1)))
    angle = np.where(np.isnan(angle), 180.0, angle) + 38.0
    return np.rint(np.stack([disparity, height, angle], -1)).clip(0, 255).astype(np.uint8)


def point_cloud(
    depth: Float[np.ndarray, "h w"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "h w 3"]:
    """(x right, y down, z forward) of every pixel, in the unit of `depth`."""
    rows, columns = np.mgrid[1 : depth.shape[0] + 1, 1 : depth.shape[1] + 1]
    x = (columns - intrinsics[0, 2]) * depth / intrinsics[0, 0]
    y = (rows - intrinsics[1, 2]) * depth / intrinsics[1, 1]
    return np.stack([x, y, depth], -1)


def surface_normals(
    points: Float[np.ndarray, "h w 3"], missing: Bool[np.ndarray, "h w"], half_window: int
) -> Float[np.ndarray, "h w 3"]:
    """Unit normals, pointing away from the camera, of the planes n.p = 1 fitted to the windows of
    2 * half_window + 1 pixels around each pixel; NaN where a window holds no plane.

    A point p on the plane at depth z has n.(p/z) = 1/z, so rays p/z are regressed on 1/z: errors
    then weigh as disparities, which is how a depth sensor errs.
    """
    z = np.where(missing, np.nan, points[..., 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        rays = points / z[..., None]
        inverse = 1.0 / z
    x, y, one = (np.nan_to_num(rays[..., i], posinf=0, neginf=0) for i in range(3))
    b = np.nan_to_num(inverse, posinf=0, neginf=0)

    def total(values: np.ndarray) -> np.ndarray:
        ones = np.ones(2 * half_window + 1)
        return convolve1d(convolve1d(values, ones, 0, mode="constant"), ones, 1, mode="constant")

    xx, xy, x1, yy, y1, n = (total(v) for v in (x * x, x * y, x * one, y * y, y * one, one * one))
    bx, by, b1 = (total(v) for v in (x * b, y * b, one * b))
    # The adjugate of the symmetric 3 x 3 matrix; the determinant is a scale, gone with the norm.
    a00, a01, a02 = yy * n - y1 * y1, x1 * y1 - xy * n, xy * y1 - x1 * yy
    a11, a12, a22 = xx * n - x1 * x1, xy * x1 - xx * y1, xx * yy - xy * xy
    normal = np.stack(
        [
            a00 * bx + a01 * by + a02 * b1,
            a01 * bx + a11 * by + a12 * b1,
            a02 * bx + a12 * by + a22 * b1,
        ],
        -1,
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(normal[..., 2:] < 0, -normal, normal)
    facing = np.sum(normal * points, -1, keepdims=True)
    return np.where(facing < 0, -normal, normal)


def gravity_direction(normals: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3"]:
    """The unit vector that floors are parallel to and walls at right angles to.

    From straight down the picture, each round calls normals within the threshold of the present
    direction floor and those within it of its plane wall, and takes the direction that
    minimises (wall.g)^2 - (floor.g)^2.
    """
    known = normals[~np.isnan(normals).any(-1)]
    gravity = np.array([0.0, 1.0, 0.0])
    for degrees, rounds in GRAVITY_ROUNDS:
        threshold = np.radians(degrees)
        for _ in range(rounds):
            along = np.abs(known @ gravity)
            floor, wall = known[along > np.cos(threshold)], known[along < np.sin(threshold)]
            smallest = np.linalg.eigh(wall.T @ wall - floor.T @ floor)[1][:, 0]
            gravity = smallest * (np.sign(gravity @ smallest) or 1.0)
    return gravity


def height_above_ground(
    points: Float[np.ndarray, "h w 3"], gravity: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "h w"]:
    """Heights over the lowest point, in the unit of `points` (cm)."""
    tilt = np.degrees(np.arccos(np.clip(gravity[1], -1, 1)))
    height = -(points @ gravity if tilt > ALIGNED_DEGREES else points[..., 1])
    lowest = height.min()
    return height - (ASSUMED_FLOOR_CM if lowest > LOWEST_CM else lowest)
