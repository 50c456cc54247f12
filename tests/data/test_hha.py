"""HHA of scenes whose planes are known."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from jaxvision.data.hha import hha, point_cloud, surface_normals
from jaxvision.errors import InputError

INTRINSICS = np.array([[150.0, 0, 80.5], [0, 150.0, 60.5], [0, 0, 1]])
SHAPE = (120, 160)
PITCH, HEIGHT, TILT = np.radians(15.0), 1.5, np.radians(30.0)  # of the camera; of the plane


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(depth in metres, label, height over the floor) of a floor (0), a wall (1) and, on the right,
    a plane tilted by 30 degrees that rises away from the camera (2)."""
    rays = point_cloud(np.ones(SHAPE), INTRINSICS)
    cos, sin = np.cos(PITCH), np.sin(PITCH)
    down = np.array([0, cos, sin])  # gravity as a camera sees it that looks down by PITCH
    ahead = np.array([0, -sin, cos])
    with np.errstate(divide="ignore"):
        floor = HEIGHT / (rays @ down)
        wall = 4.0 / (rays @ ahead)
        # (p.down cos + p.ahead sin) = c: a plane through (3 m ahead, on the floor)
        tilted = (HEIGHT * np.cos(TILT) + 3.0 * np.sin(TILT)) / (
            rays @ (down * np.cos(TILT) + ahead * np.sin(TILT))
        )
    right = np.arange(SHAPE[1])[None] >= SHAPE[1] // 2
    depths = np.stack(
        [
            np.where(floor > 0, floor, np.inf),
            wall,
            np.where(right & (tilted > 0), tilted, np.inf),
        ]
    )
    label, depth = depths.argmin(0), depths.min(0)
    return depth, label, HEIGHT - (rays * depth[..., None]) @ down


def inner(mask: np.ndarray, margin: int = 4) -> np.ndarray:
    """Pixels whose whole window belongs to the mask."""
    return binary_erosion(mask, np.ones((2 * margin + 1, 2 * margin + 1)), border_value=1)


def test_angles_heights_and_disparities_of_known_planes():
    depth, label, height = scene()
    picture = hha(depth, INTRINSICS).astype(int)
    assert all((label == kind).mean() > 0.05 for kind in range(3))
    # Normals point away from the camera: a floor's lies along gravity, a wall's at right angles.
    for kind, angle in enumerate([0, 90, 30]):
        assert np.abs(picture[inner(label == kind), 2] - (angle + 38)).max() <= 1
    # Gravity is an estimate, which the tilted plane pulls a little: 2 cm at the far side.
    np.testing.assert_allclose(picture[..., 1], np.minimum(100 * height, 255), atol=2)
    np.testing.assert_array_equal(picture[..., 0], np.minimum(np.rint(310 / depth), 255))


def test_a_window_without_measurements_has_no_normal():
    depth, _, _ = scene()
    depth[20:40, 20:40] = 0
    picture = hha(depth, INTRINSICS)
    assert (picture[24:36, 24:36, 2] == 218).all()
    assert (picture[20:40, 20:40, 0] == 255).all()
    assert (picture[10, :, 2] != 218).all()


def test_filled_pixels_are_left_out_of_the_normals():
    depth, _, _ = scene()
    missing = np.zeros(SHAPE, bool)
    missing[20:40, 20:40] = True
    wrong = depth.copy()
    wrong[missing] = 0.3
    points = point_cloud(wrong, INTRINSICS)
    found = surface_normals(points, missing, 3)
    expected = surface_normals(point_cloud(depth, INTRINSICS), missing, 3)
    outside = ~missing
    np.testing.assert_allclose(found[outside], expected[outside], atol=1e-9)
    assert np.isnan(found[24:36, 24:36]).all()


def test_a_low_camera_gets_an_assumed_floor():
    depth = np.full(SHAPE, 2.0)  # a wall straight ahead, its lowest point 78 cm under the camera
    picture = hha(depth, INTRINSICS)
    assert picture[60, 80, 1] == pytest.approx(130, abs=1)


def test_no_measurement_at_all_is_refused():
    with pytest.raises(InputError, match="without a measured pixel"):
        hha(np.zeros(SHAPE), INTRINSICS)
