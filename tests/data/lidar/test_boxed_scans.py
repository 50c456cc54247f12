"""Scans with boxes: made-up streets, their nuScenes files, the index, pasting, resampling, JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxvision.cli.main import main
from jaxvision.data.lidar import boxes as geometry
from jaxvision.data.lidar.boxed_scan import BoxedScan, OwnBoxedScans, boxes_to_json
from jaxvision.data.lidar.hard_voxels import VoxelGrid
from jaxvision.data.lidar.moving_streets import MovingStreet, MovingStreets
from jaxvision.data.lidar.nuscenes_index import NuscenesFrames, frame_of, frame_record
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.object_sampling import ObjectBank, balanced
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.data.lidar.streets import CAR
from jaxvision.errors import InputError
from made_up_nuscenes import write_nuscenes

SENSOR = Sensor(beams=12, azimuths=120)
TINY = Path(__file__).parents[2] / "goldens/datasets/nuscenes_tiny"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A small dataset and its index."""
    root = tmp_path_factory.mktemp("nuscenes")
    write_nuscenes(root, {"scene-0061": 2, "scene-0103": 2}, 1, SENSOR, sweeps_between=2)
    command = ["prepare", "nuscenes", str(root), str(root / "index"), "--version", "v1.0-mini"]
    assert not main([*command, "--sweeps", "3"])
    return root


def test_boxes_hold_their_points_and_no_two_overlap():
    scan = MovingStreets(1, 5, SENSOR, sweeps=2)[0]
    assert {"car", "pedestrian"} >= set(scan.names)
    assert geometry.points_inside(scan.points, scan.boxes).any(axis=1).all()
    corners = geometry.corners_above(scan.boxes)
    assert not geometry.collisions(corners, corners).any()
    np.testing.assert_array_equal(np.unique(scan.merged()[:, 4]), np.float32([0, 0.1]))


def test_cars_keep_right_and_drive_where_they_face():
    street = MovingStreet.draw(np.random.default_rng(2))
    cars = street.scene.box_labels == CAR
    place, heading = street.scene.boxes[cars, :2], street.scene.boxes[cars, 6]
    facing = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    to_the_left = np.stack([-facing[:, 1], facing[:, 0]], axis=1)
    middle = street.street.left_of_middle
    sides = np.sign(middle(place))
    assert set(sides) == {-1, 1}
    assert (np.abs(middle(place + to_the_left)) < np.abs(middle(place))).all()
    speed = np.linalg.norm(street.velocities[cars], axis=1, keepdims=True)
    assert 0 < (speed > 0).sum() < len(speed)
    np.testing.assert_allclose(street.velocities[cars], speed * facing, atol=1e-12)


def test_streets_run_as_far_from_x_as_they_are_told():
    def turned(**told):
        """How far the cars of three streets are from facing along or against x (rad)."""
        streets = MovingStreets(3, 4, SENSOR, **told)
        scans = [streets[number] for number in range(len(streets))]
        headings = [scan.boxes[np.array(scan.names) == "car", 8] for scan in scans]
        yaw = geometry.heading_of(np.concatenate(headings))
        return np.abs(np.arcsin(np.sin(yaw)))

    by_hand = 0.25  # a car's own angle in its street, five times its deviation
    assert turned(most_heading=0.05).max() < 0.05 + by_hand < turned().max()


def test_written_streets_are_read_as_the_official_layout(written):
    frames = NuscenesFrames.open(written, "v1.0-mini", ("scene-0061",), 3)
    assert len(frames) == 2
    frame, scan = frames.frames[1].with_points_inside(), frames[1]
    # Boxes stand where the points are, in the sensor's frame, and count the same points.
    inside = geometry.points_inside(frame.key_points(written), frame.boxes)
    np.testing.assert_array_equal(inside.sum(axis=1), frame.counts)
    assert len(scan.sweeps) == 2
    np.testing.assert_allclose(scan.sweeps[0][0, 4], 1 / 6, rtol=1e-4)
    # The vehicle drives, yet what stands still stays in place over the sweeps.
    assert np.abs(frames.frames[1].sweeps[1].transform[:2, 3]).max() > 1
    speeds = np.hypot(*frame.boxes[:, 6:8].T)
    assert speeds[np.isfinite(speeds)].max() > 1


def test_the_index_gives_the_frames_of_the_tables(written):
    read = NuscenesFrames.open(written, "v1.0-mini", ("scene-0103",), 2)
    index = NuscenesFrames.open(written, "", ("scene-0103",), 2, str(written / "index"))
    for a, b in zip(read, index, strict=True):
        np.testing.assert_array_equal(a.merged(), b.merged())
        np.testing.assert_array_equal(a.boxes, b.boxes)
    frame = NuscenesFrames.open(TINY, "v1.0-mini", ("scene-0061",), 3).frames[0]
    again = frame_of(json.loads(json.dumps(frame_record(frame))))
    np.testing.assert_array_equal(again.boxes, frame.boxes)
    with pytest.raises(InputError, match=r"3 sweeps a frame; data\.sweeps asks for 10"):
        NuscenesFrames.open(written, "", ("scene-0103",), 10, str(written / "index"))
    with pytest.raises(InputError, match=r"no frames\.json; make it by `jaxvision prepare"):
        NuscenesFrames.open(written, "", ("scene-0103",), 1, str(written))


def test_pasted_objects_come_first_and_collide_with_nothing(written):
    bank = ObjectBank.open(written / "index", ("scene-0061",))
    scan = MovingStreets(1, 9, SENSOR)[0]
    most = {"car": scan.names.count("car") + 3, "pedestrian": 0}
    points, boxes, names = bank.paste(scan, scan.points, most, np.random.default_rng(0))
    added = len(boxes) - len(scan.boxes)
    assert 0 < added <= 3
    assert names[len(scan.names) :] == ("car",) * added
    np.testing.assert_array_equal(points[-len(scan.points) :], scan.points)
    new = boxes[len(scan.boxes) :]
    assert geometry.points_inside(points, new).any(axis=1).all()
    corners = geometry.corners_above(boxes)
    assert not geometry.collisions(corners, corners).any()
    assert (geometry.points_inside(points[: -len(scan.points)], new).any(axis=0)).all()


def test_resampling_gives_every_class_an_equal_share():
    names = [("car",)] * 90 + [("car", "bus")] * 10
    rows = balanced(names, ("car", "bus"), 0)
    # 110 frames by class: 55 draws from the hundred with cars, 55 from the ten with buses.
    assert len(rows) == 110
    assert np.sum(rows >= 90) >= 55
    assert balanced([()], ("car",), 0).tolist() == [0]


def test_own_boxes_come_back_as_they_were_written(tmp_path):
    scan = MovingStreets(1, 2, SENSOR)[0]
    scan.points[:, :4].tofile(tmp_path / "a.bin")
    entries = boxes_to_json(scan.boxes, scan.names)
    (tmp_path / "a.json").write_text(json.dumps({"boxes": entries}))
    (read,) = OwnBoxedScans.open(tmp_path, ("car", "pedestrian"))
    turns = (read.boxes[:, 8] - scan.boxes[:, 8]) / (2 * np.pi)
    np.testing.assert_allclose(read.boxes[:, :8], scan.boxes[:, :8])
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-5)
    np.testing.assert_array_equal(read.points[:, :4], scan.points[:, :4])
    with pytest.raises(InputError, match=r"a\.json: class 'car' of box 0.*cart"):
        OwnBoxedScans.open(tmp_path, ("cart", "pedestrian"))[0]
    (tmp_path / "a.json").write_text('{"boxes": [{"name": "car"}]}')
    with pytest.raises(InputError, match=r"a\.json: boxes\[0\]: no 'translation' in it"):
        OwnBoxedScans.open(tmp_path, ("car",))[0]
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError, match=r"a\.json: \[\]; expected a table"):
        OwnBoxedScans.open(tmp_path, ("car",))[0]


def test_sweeps_are_merged_in_a_drawn_order():
    sweeps = tuple(np.full((1, 5), n, np.float32) for n in range(1, 6))
    scan = BoxedScan(np.zeros((1, 5), np.float32), np.zeros((0, 9)), (), sweeps)
    assert scan.merged()[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    drawn = scan.merged(np.random.default_rng(1))[:, 0].tolist()
    assert drawn[0] == 0
    assert sorted(drawn) == [0, 1, 2, 3, 4, 5] != drawn


def test_points_outside_the_range_are_counted():
    grid = VoxelGrid((0, 0, 0, 1, 1, 1), (0.5, 0.5, 0.5))
    points = np.array([[0.1, 0.1, 0.1], [0.9, 0.1, 0.1], [1.0, 0, 0], [-0.1, 0, 0]], np.float32)
    found = grid.voxelise(points, 1, 5)
    assert (found.outside, found.left_out) == (2, 1)
    assert found.coords.tolist() == [[0, 0, 0]]


def test_the_written_tables_name_nothing_that_is_missing(written):
    tables = Tables(written, "v1.0-mini")
    for row in tables.table("sample_data").values():
        assert (written / row["filename"]).is_file()
        assert not row["next"] or row["next"] in tables.table("sample_data")
    for row in tables.table("sample_annotation").values():
        assert tables.attribute(row)
