"""Reading scans: official layouts, bad files, made-up streets."""

import numpy as np
import pytest

from jaxvision.data.lidar import ply, ray_casting
from jaxvision.data.lidar import semantic_kitti as kitti
from jaxvision.data.lidar.classes import SEMANTIC_KITTI, Classes
from jaxvision.data.lidar.own_scans import OwnScans, read_scan
from jaxvision.data.lidar.streets import Streets, write_sequences
from jaxvision.data.lidar.voxels import voxelise
from jaxvision.errors import InputError

SENSOR = ray_casting.Sensor(beams=8, azimuths=40)


def test_streets_are_written_and_read_in_the_official_layout(tmp_path):
    write_sequences(tmp_path, {0: 1, 8: 2}, seed=3, sensor=SENSOR)
    scans = kitti.SemanticKitti.split(tmp_path, "val")
    assert len(scans) == 2
    want = Streets(2, 3 + 8000, SENSOR)[1]
    np.testing.assert_array_equal(scans[1].points, want.points)
    np.testing.assert_array_equal(scans[1].labels, want.labels)
    assert (SEMANTIC_KITTI.train_ids(scans[1].labels) < 20).all()
    np.testing.assert_array_equal(kitti.lidar_poses(tmp_path / "sequences/08"), [np.eye(4)] * 2)


def write_scan(folder, points, labels=None):
    np.asarray(points, "<f4").tofile(folder / "scan.bin")
    if labels is not None:
        np.asarray(labels, "<u4").tofile(folder / "scan.label")
    return folder / "scan.bin"


def test_truncated_file_is_refused(tmp_path):
    path = write_scan(tmp_path, np.ones(4 * 5 - 1))
    with pytest.raises(InputError, match=r"scan\.bin: 76 bytes; expected a multiple of 16"):
        read_scan(path)


def test_label_count_is_checked(tmp_path):
    path = write_scan(tmp_path, np.ones((5, 4)), np.ones(4))
    with pytest.raises(InputError, match=r"scan\.label: 4 labels; expected 5"):
        read_scan(path, labelled=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite_are_refused(tmp_path, value):
    points = np.ones((5, 4))
    points[3, 1] = value
    with pytest.raises(InputError, match=r"1 of 5 points are NaN or infinite, the first at row 3"):
        read_scan(write_scan(tmp_path, points))


def test_an_empty_scan_is_refused(tmp_path):
    with pytest.raises(InputError, match="an empty scan"):
        read_scan(write_scan(tmp_path, []))


@pytest.mark.parametrize("missing", ["calib.txt", "poses.txt", "Tr", "numbers"])
def test_missing_calibration_or_pose_is_refused(tmp_path, missing):
    write_sequences(tmp_path, {0: 1}, sensor=SENSOR)
    folder = tmp_path / "sequences/00"
    if missing == "Tr":
        (folder / "calib.txt").write_text("P0: " + "1 " * 12)
    elif missing == "numbers":
        (folder / "poses.txt").write_text("1 0 0 0\n")
    else:
        (folder / missing).unlink()
    message = {"Tr": "no matrix Tr", "numbers": "expected 12 numbers"}.get(missing, missing)
    with pytest.raises(InputError, match=message):
        kitti.lidar_poses(folder)


def test_unknown_labels_follow_the_rule_of_their_reader():
    raw = np.array([10, 2, 259, 0])
    assert SEMANTIC_KITTI.train_ids(raw).tolist() == [1, 255, 5, 0]
    assert SEMANTIC_KITTI.train_ids(raw, "ignored").tolist() == [1, 0, 5, 0]
    with pytest.raises(InputError, match="label 400; expected ids below 260"):
        SEMANTIC_KITTI.train_ids(np.array([10, 400]))


def test_own_classes():
    classes = Classes.of_config({"road": (3, 4), "tree": (9,)}, (0, 7))
    assert classes.train_ids(np.array([7, 4, 9, 5])).tolist() == [0, 1, 2, 255]
    assert classes.written_ids(np.array([0, 1, 2])).tolist() == [0, 3, 9]
    with pytest.raises(InputError, match=r"raw ids \[3\] stand in two classes"):
        Classes.of_config({"road": (3,), "tree": (3,)}, ())
    for ids in ((70_000,), (-1,), ("road",), (4.5,), (), 4):
        with pytest.raises(InputError, match=r"classes: 'road': .*; expected raw"):
            Classes.of_config({"road": ids}, ())


def test_a_scan_too_wide_for_its_voxels_is_refused():
    with pytest.raises(InputError, match="expected at most"):
        voxelise(np.array([[0, 0, 0, 1], [0, 0, 900, 1]]), 0.1)


ASCII = b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\n"
ASCII += b"property float z\nproperty int label\nend_header\n1 2 3 7\n4 5 6 9\n"


def test_ply_ascii_and_binary(tmp_path):
    path = tmp_path / "scan.ply"
    path.write_bytes(ASCII)
    scan = OwnScans.open(tmp_path)[0]
    assert scan.points.tolist() == [[1, 2, 3, 0], [4, 5, 6, 0]]
    assert scan.labels.tolist() == [7, 9]
    ply.write_ply(path, ply.read_ply(path))
    assert b"binary_little_endian" in path.read_bytes()
    np.testing.assert_array_equal(read_scan(path, labelled=True).points, scan.points)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PLY?", "not a PLY file"),
        (ASCII[:-6], "numbers; expected 2 x 4"),
        (ASCII.replace(b"property float z\n", b""), "no property z"),
        (ASCII.replace(b"ascii", b"binary_little_endian"), "bytes of points"),
        (ASCII.replace(b"float x", b"list uchar int x"), "expected property TYPE NAME"),
        (ASCII.replace(b"5 6", b"5_0 6"), "a number with _ in it"),
        (ASCII.replace(b"5 6", b"1e39 6"), "property y: 1e[+]39 at row 1 is too large"),
    ],
)
def test_broken_ply_is_refused(tmp_path, content, message):
    (tmp_path / "scan.ply").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_scan(tmp_path / "scan.ply")


def test_rays_meet_solids_where_geometry_says():
    none = np.zeros((0, 4))
    scene = ray_casting.Scene(
        np.array([[10.0, 0, 0, 2, 4, 2, np.pi / 2]]),
        np.array([5]),
        np.array([[0.0, 8, 0, 3]]),
        np.array([6]),
        -2.0,
    )
    rays = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, -1], [-1, 0, 0]])
    distance, label = ray_casting.first_hits(rays, scene)
    np.testing.assert_allclose(distance, [8, 5, 2, np.inf])
    assert label.tolist() == [5, 6, -1, -2]
    bare = ray_casting.Scene(np.zeros((0, 7)), np.zeros(0, int), none, np.zeros(0, int), -2.0)
    assert ray_casting.first_hits(rays[:1], bare)[1].tolist() == [-2]
