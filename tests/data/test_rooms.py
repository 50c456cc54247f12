"""Made-up rooms: what the two cameras see is where the boxes are."""

import numpy as np
import pytest
from PIL import Image

from jaxvision.data.hha import point_cloud
from jaxvision.data.pictures import built_in
from jaxvision.data.rooms import (
    AMBIENT_LIGHT,
    KINDS,
    Camera,
    Room,
    RoomPictures,
    draw_room,
    light,
    photograph,
)

ROOM = Room((4.0, 6.0, 2.5), np.array([[1.0, 3.0, 0.0, 3.0, 4.0, 1.0]]))


def test_depth_of_a_wall_ahead_and_of_a_box_before_it():
    camera = Camera((2.0, 0.5, 1.5), yaw=0.0, pitch=0.0, side=65)
    depth, surface, axis = ROOM.first_hits(camera)
    centre = 32
    assert depth[centre, centre] == pytest.approx(5.5)
    assert axis[centre, centre] == 1
    assert surface[centre, centre] == 3  # the far wall
    # The box's front, 2.5 m ahead, reaches from the floor to 0.5 m under the camera.
    row = centre + round(0.8 * 65 * 0.6 / 2.5)
    assert depth[row, centre] == pytest.approx(2.5)
    assert surface[row, centre] == 6 + 1


def test_points_of_the_depth_lie_on_surfaces_of_the_room():
    camera = Camera((1.3, 0.4, 1.4), yaw=0.3, pitch=-0.25, side=48)
    depth, _, axis = ROOM.first_hits(camera)
    points = np.asarray(camera.position) + depth[..., None] * camera.rays()
    planes = np.sort(np.concatenate([[0, 0, 0], ROOM.size, ROOM.boxes.reshape(-1)]))
    across = np.take_along_axis(points, axis[..., None], -1)
    assert np.abs(across - planes).min(-1).max() < 1e-9
    assert (points > -1e-9).all()
    assert (points < np.array(ROOM.size) + 1e-9).all()


def test_intrinsics_give_back_the_rays():
    camera = Camera((2.0, 0.5, 1.5), yaw=0.0, pitch=0.0, side=32)
    rays = camera.rays()  # x right, y ahead, z up
    seen = point_cloud(np.ones((32, 32)), camera.intrinsics)  # x right, y down, z ahead
    np.testing.assert_allclose(seen[..., 0], rays[..., 0], atol=1e-12)
    np.testing.assert_allclose(seen[..., 1], -rays[..., 2], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fits_into_its_room(kind):
    for seed in range(5):
        room, camera = draw_room(np.random.default_rng(seed), kind, 32)
        assert (room.boxes[:, :3] < room.boxes[:, 3:]).all()
        assert (room.boxes[:, 3:] <= np.array(room.size) + 1e-9).all()
        assert (room.boxes >= -1e-9).all()
        inside = (np.array(camera.position) > room.boxes[:, :3]) & (
            np.array(camera.position) < room.boxes[:, 3:]
        )
        assert not inside.all(1).any(), "the camera stands inside a box"


def test_records_are_the_same_every_time_and_differ_from_each_other():
    rooms = RoomPictures(12, 24, built_in("train"), seed=1)
    first, again, other = rooms[3], rooms[3], rooms[9]
    for key in ("rgb", "depth"):
        np.testing.assert_array_equal(first[key], again[key])
        assert not np.array_equal(first[key], other[key])
    assert first["label"] == other["label"] == 3
    assert first["rgb"].dtype == np.uint8


def test_a_lamp_lights_what_faces_it_more_than_what_does_not():
    camera = Camera((2.0, 0.5, 1.5), yaw=0.0, pitch=-0.2, side=64)
    depth, surface, axis = ROOM.first_hits(camera)
    rays = camera.rays()
    points = np.asarray(camera.position) + depth[..., None] * rays
    lit = light(ROOM, points, rays, axis)
    top, front = (lit[surface == 6 + side] for side in (2, 1))
    # The box's top lies under the lamp, its front is turned away: the lamp is over its back.
    assert top.min() > front.max() + 0.2
    assert lit.min() >= AMBIENT_LIGHT


def test_what_is_far_wears_a_photograph_of_its_size():
    """A checkerboard of single pixels is grey on a wall that shows several of them in one."""
    board = np.indices((256, 256)).sum(0) % 2 * 255
    levels = [Image.fromarray(board.astype(np.uint8)).convert("RGB")]
    while levels[-1].width >= 64:
        levels.append(levels[-1].reduce(2))
    camera = Camera((2.0, 0.5, 1.5), yaw=0.0, pitch=0.0, side=32)
    rgb, _ = photograph(ROOM, camera, [tuple(levels)], np.random.default_rng(0))
    wall = ROOM.first_hits(camera)[1] == 3
    assert np.ptp(rgb[wall].astype(int), axis=0).max() < 40
