"""Rotations as quaternions w, x, y, z, on the host in float64."""

import numpy as np
from jaxtyping import Float

Quaternions = Float[np.ndarray, "*n 4"]


def rotation_matrix(quaternion: Quaternions) -> Float[np.ndarray, "*n 3 3"]:
    """Of quaternions of any length but 0."""
    unit = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, x, y, z = np.moveaxis(unit, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def heading(quaternion: Quaternions) -> Float[np.ndarray, "*n"]:
    """Angle of the turned x axis in the plane."""
    matrix = rotation_matrix(quaternion)
    return np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0])


def about_z(angle: Float[np.ndarray, "*n"]) -> Quaternions:
    """A counter-clockwise turn about z."""
    half = np.asarray(angle) / 2
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)


def product(first: Quaternions, second: Quaternions) -> Quaternions:
    """The rotation `second`, then `first`."""
    a, b, c, d = np.moveaxis(first, -1, 0)
    w, x, y, z = np.moveaxis(second, -1, 0)
    return np.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )
