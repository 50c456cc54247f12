"""Rotations as quaternions w, x, y, z, on the host in float64."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

Quaternions = Float[np.ndarray, "*n 4"]


def _rotation(quaternion: Quaternions) -> Rotation:
    return Rotation.from_quat(quaternion, scalar_first=True)


def rotation_matrix(quaternion: Quaternions) -> Float[np.ndarray, "*n 3 3"]:
    """Of quaternions of any length but 0."""
    return _rotation(quaternion).as_matrix()


def heading(quaternion: Quaternions) -> Float[np.ndarray, "*n"]:
    """Angle of the rotated x axis in the plane."""
    matrix = rotation_matrix(quaternion)
    return np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0])


def about_z(angle: Float[np.ndarray, "*n"]) -> Quaternions:
    """A counter-clockwise rotation about z."""
    half = np.asarray(angle) / 2
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)


def product(first: Quaternions, second: Quaternions) -> Quaternions:
    """The rotation `second`, then `first`; one of either is applied to all of the other."""
    return (_rotation(first) * _rotation(second)).as_quat(scalar_first=True)
