"""Readers of scene flow beside the three that goldens cover: Driving, clouds alone, own frames."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from jaxvision.data import flow_files
from jaxvision.data.conversions import collecting
from jaxvision.data.scene_flow import driving
from jaxvision.data.scene_flow.driving import Driving
from jaxvision.data.scene_flow.frames import draw_points, drop_unusable
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.data.scene_flow.point_sets import Corresponding, Hidden, draw_pair
from jaxvision.data.scene_flow.sequences import Sequence
from jaxvision.errors import InputError

CAMERAS = (Camera(16.0, 7.0, 5.0), Camera(32.0, 7.0, 5.0))
SIDE = 64


def write_driving(root, pair) -> None:
    """A wall at 4.5 m (of 15 mm) that comes 0.5 m nearer and moves a pixel to the right."""
    sequence, size = "/".join(pair[:3]), (6, 8)
    for number in (pair.number, pair.neighbour):
        for part in ("frames_finalpass", "disparity"):
            (root / part / sequence / "left").mkdir(parents=True, exist_ok=True)
        picture = root / f"frames_finalpass/{sequence}/left/{number:04d}.png"
        Image.new("RGB", size[::-1], (number, 0, 0)).save(picture)
        disparity = np.full(size, 100 if number == pair.number else 112.5, np.float32)
        disparity[0] = 450 / 70 if number == pair.number else 1
        flow_files.write_pfm(root / f"disparity/{sequence}/left/{number:04d}.pfm", disparity)
    way = f"{sequence}/{pair.direction}/left"
    change, flow = np.full(size, 12.5, np.float32), np.zeros((*size, 3), np.float32)
    flow[..., 0], flow[5, 5, 1] = 1, 2000
    for part, name, values in (
        ("disparity_change", f"{pair.number:04d}", change),
        ("optical_flow", f"OpticalFlowIntoPast_{pair.number:04d}_L", flow),
    ):
        (root / part / way).mkdir(parents=True)
        flow_files.write_pfm(root / part / way / f"{name}.pfm", values)


def test_driving_goes_both_ways_in_time(tmp_path):
    index = next(n for n, p in enumerate(driving.ALL) if p.direction == "into_past")
    pair = driving.ALL[index]
    assert (pair.number, pair.neighbour, len(driving.ALL)) == (2, 1, 16 * 299)
    write_driving(tmp_path, pair)
    found = Driving(tmp_path)[index]
    assert found.images[:, 0, 0, 0].tolist() == [2, 1]
    assert len(found.clouds[0]) == len(found.flow_3d) == 5 * 8  # the first row is at 70 m
    usual = found.flow_3d[:-3]
    np.testing.assert_allclose(usual[:, 2], -0.5, atol=1e-4)
    assert found.flow_2d[..., 2].sum() == 47
    (tmp_path / "disparity_change" / "/".join(pair[:4]) / "left/0002.pfm").unlink()
    with pytest.raises(InputError, match=r"0002\.pfm"):
        Driving(tmp_path)[index]


def test_clouds_alone_as_their_owners_store_them(tmp_path):
    cloud = np.random.default_rng(0).uniform(1, 9, (20, 3)).astype(np.float32)
    for number in range(3):
        (tmp_path / f"{number:06d}").mkdir()
        forward = cloud * np.float32([1, 1, -1 if number == 1 else 1])
        np.save(tmp_path / f"{number:06d}/pc1.npy", forward)
        np.save(tmp_path / f"{number:06d}/pc2.npy", forward + np.float32([1, 2, -3]))
    things = Corresponding(tmp_path, CAMERAS)[1]
    np.testing.assert_allclose(things.flow, [[-1, 2, 3]] * 20, atol=1e-5)
    assert things.camera is CAMERAS[1]
    # 1. KITTI: ground and far points leave, and folders that the mapping has no name for.
    cloud[0, 1], cloud[1, 2] = -9, 99
    np.save(tmp_path / "000002/pc1.npy", cloud)
    np.save(tmp_path / "000002/pc2.npy", cloud)
    (tmp_path / "KITTI_mapping.txt").write_text("a\n\nb\n")
    kitti = Corresponding(tmp_path, CAMERAS, of_kitti=True)
    assert [kitti.name(n) for n in range(len(kitti))] == ["000000", "000002"]
    assert len(kitti[1].clouds[0]) == 18
    # 2. FlowNet3D's, and drawing of them.
    np.savez(tmp_path / "a.npz", pos1=cloud, pos2=cloud, gt=np.tile(np.float32([1, 2, 3]), (20, 1)))
    hidden = Hidden(tmp_path, CAMERAS, of_kitti=True)[0]
    assert hidden.flow[0].tolist() == [2, 3, 1]
    drawn = draw_pair(hidden, 12, np.random.RandomState(0))
    assert drawn.flow.shape == drawn.clouds[1].shape == (12, 3)
    with collecting() as notes:
        assert len(draw_pair(hidden, 30, np.random.RandomState(0)).flow) == 30
    assert [(note.kind[:15], note.detail) for note in notes] == [("points repeated", "20 of 30")]
    with pytest.raises(InputError, match=r"expected files such as TEST_A_0000\.npz"):
        len(Hidden(tmp_path, CAMERAS))


def test_points_that_are_no_numbers_are_left_out_of_clouds_alone_or_refused(tmp_path):
    cloud = np.random.default_rng(0).uniform(1, 9, (20, 3)).astype(np.float32)
    (tmp_path / "000000").mkdir()
    first, second, gt = cloud.copy(), cloud.copy(), np.ones((20, 3), np.float32)
    first[0, 0] = second[1, 1] = gt[2, 2] = np.nan
    first[3] *= -1  # behind the camera, on all axes
    np.save(tmp_path / "000000/pc1.npy", first)
    np.save(tmp_path / "000000/pc2.npy", second)
    np.savez(tmp_path / "a.npz", pos1=first, pos2=second, gt=gt)
    for reader, kept in ((Corresponding, (17, 19)), (Hidden, (17, 19))):
        with collecting() as notes:
            pair = reader(tmp_path, CAMERAS, of_kitti=True)[0]
        assert tuple(map(len, pair.clouds)) == kept
        assert len(pair.flow) == len(pair.counted) == 17
        assert all(np.isfinite(x).all() for x in (*pair.clouds, pair.flow))
        assert [note.detail for note in notes] == ["4"]
    for file, arrays in (
        ("000000/pc1.npy", {"": first * np.nan}),
        ("000000/pc2.npy", {"": second * np.nan}),
        ("a.npz", {"pos1": cloud, "pos2": cloud, "gt": gt * np.nan}),
    ):
        if file.endswith("npy"):
            np.save(tmp_path / file, arrays[""])
        else:
            np.savez(tmp_path / file, **arrays)
        reader = Corresponding if file.endswith("npy") else Hidden
        with pytest.raises(InputError, match=f"{re.escape(file)}: none of 20 points"):
            reader(tmp_path, CAMERAS, of_kitti=True)[0]
        np.save(tmp_path / "000000/pc1.npy", cloud)
    np.save(tmp_path / "000000/pc2.npy", -cloud)
    with pytest.raises(InputError, match="000000: none of 20 points of cloud 2 can be used"):
        Corresponding(tmp_path, CAMERAS, of_kitti=True)[0]


@pytest.mark.parametrize("mask", [["no"] * 20, [np.nan] * 20])
def test_a_mask_of_no_truths_is_refused(tmp_path, mask):
    cloud = np.ones((20, 3), np.float32)
    arrays = {"points1": cloud, "points2": cloud, "flow": cloud}
    np.savez(tmp_path / "TEST_a.npz", **arrays, valid_mask1=[0, 1] * 10)
    assert Hidden(tmp_path, CAMERAS)[0].counted.sum() == 10
    np.savez(tmp_path / "TEST_a.npz", **arrays, valid_mask1=mask)
    with pytest.raises(InputError, match=r"TEST_a\.npz: expected numbers or truths"):
        Hidden(tmp_path, CAMERAS)[0]


@pytest.mark.parametrize(
    ("part", "values", "said"),
    [
        ("disparity", np.ones((6, 8, 3)), "got colours"),
        ("disparity", -np.ones((6, 8)), "no disparity is above 0"),
        ("disparity_change", np.ones((6, 8, 3)), "got colours"),
        ("disparity_change", np.full((6, 8), np.nan), "no value is a number"),
        ("optical_flow", np.ones((6, 8)), "expected a colour map"),
        ("optical_flow", np.full((6, 8, 3), np.nan), "no value is a number"),
    ],
)
def test_a_map_of_driving_that_is_none_is_named(tmp_path, part, values, said):
    index = next(n for n, p in enumerate(driving.ALL) if p.direction == "into_past")
    write_driving(tmp_path, driving.ALL[index])
    file = next((tmp_path / part).rglob("*.pfm"))
    flow_files.write_pfm(file, values)
    with pytest.raises(InputError, match=f"{re.escape(file.name)}: .*{said}"):
        Driving(tmp_path)[index]


def test_flow_of_driving_that_is_no_number_does_not_count(tmp_path):
    index = next(n for n, p in enumerate(driving.ALL) if p.direction == "into_past")
    write_driving(tmp_path, driving.ALL[index])
    file = next((tmp_path / "optical_flow").rglob("*.pfm"))
    flow = flow_files.read_pfm(file)
    flow[2, 3] = np.nan
    flow_files.write_pfm(file, flow)
    pair = Driving(tmp_path)[index]
    assert pair.flow_2d[2, 3].tolist() == [0, 0, 0]
    assert len(pair.clouds[0]) == 39


def own_frames(folder, **changes):
    for number in range(2):
        Image.new("RGB", (SIDE, SIDE), "blue").save(folder / f"{number}.png")
        np.save(folder / f"{number}.npy", np.full((SIDE, SIDE), 5.0, np.float32))
    Image.new("RGB", (SIDE, 80)).save(folder / "tall.png")
    Image.new("RGB", (SIDE, 63)).save(folder / "low.png")
    frames = [{"image": f"{n}.png", "depth": f"{n}.npy"} for n in range(2)]
    table = {"camera": [64.0, 31.5, 31.5], "frames": frames} | changes
    file = folder / "pair.json"
    file.write_text(json.dumps(table))
    return Sequence(file, 0.5, 90.0)


def test_own_frames_of_depth_and_of_a_lidar(tmp_path):
    found = own_frames(tmp_path).pair(0, images=True, points=True)
    assert found.clouds[0].shape == (SIDE * SIDE, 3)
    assert found.clouds[0][0] == pytest.approx([5 * -31.5 / 64, 5 * -31.5 / 64, 5])
    points = np.float32([[10, 1, 2, 0.5], [-10, 1, 2, 0.5], [500, 1, 2, 0.5], [10, np.nan, 2, 0]])
    points.tofile(tmp_path / "0.bin")
    turned = [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0.5]]
    frames = [{"image": f"{n}.png", "cloud": "0.bin"} for n in range(2)]
    sequence = own_frames(tmp_path, frames=frames, lidar_to_camera=turned)
    pair = sequence.pair(0, images=True, points=True)
    assert pair.clouds[0][:2].tolist() == [[-1, -2, 10.5], [-1, -2, -9.5]]
    assert len(pair.clouds[0]) == 3  # the third is too far
    with collecting() as notes:
        kept = draw_points(drop_unusable(pair), 3, np.random.RandomState(0))
    assert (kept.clouds[0] == [-1, -2, 10.5]).all()
    assert [(note.kind[:15], note.detail) for note in notes] == [
        ("points that are", "4"),
        ("points repeated", "1 of 3"),
    ]


IMAGES = [{"image": "0.png"}, {"image": "1.png"}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"camera": [0.0, 31.5, 31.5]}, "focal length of 0.0, expected above 0"),
        ({"camera": [64.0]}, r"expected \[f, cx, cy\] or a calibration file"),
        ({"camera": "calib.txt"}, r"calib\.txt: no such file"),
        ({"frames": IMAGES[:1]}, "1 frames, expected two or more"),
        ({"frames": IMAGES}, "frame 0 names none of cloud, depth, disparity"),
        ({"frames": [{"depth": "0.npy"}] * 2}, "frame 0 names no image"),
        ({"frames": [{"image": "0.png", "depth": "2.npy"}] * 2}, r"2\.npy: no such file"),
        (
            {"frames": [{"image": f"{n}.png", "depth": "0.npy"} for n in (0, "tall")]},
            "maps of one size, got first picture 64 x 64, second picture 80 x 64",
        ),
        (
            {"lidar_to_camera": [[1.0]], "frames": [{"image": "0.png", "cloud": "c.npy"}] * 2},
            "rows",
        ),
        ({"flow_2d": ["0.png"]}, "16-bit RGB"),
        ({"frames": [{"image": "low.png", "depth": "0.npy"}] * 2}, "63 x 64 pixels, expected 64"),
        ({"camera": None}, r"expected \[f, cx, cy\] or a calibration file"),
        ({"camera": "two.txt"}, r"two\.txt: focal lengths of 64.0 and 70.0 pixels, expected one"),
        ({"base_line": 0.1}, r"pair\.json: unknown key 'base_line'; did you mean 'baseline'"),
        (
            {"frames": [{"image": "0.png", "depths": "0.npy"}] * 2},
            "unknown key 'depths'; did you mean 'depth'",
        ),
        ({"baseline": 0.0}, r"pair\.json: baseline 0.0: expected above 0"),
        (
            {"frames": [{"image": "0.png", "depth": "part.npy"}] * 2},
            r"part\.npy, pair\.json: expected maps of one size, got picture 64 x 64, depth 32 x 64",
        ),
        (
            {"frames": [{"image": "0.png", "disparity": "part.npy"}] * 2},
            r"part\.npy, pair\.json: .*disparity 32 x 64",
        ),
        (
            {"frames": [{"image": "0.png", "depth": "words.npy"}] * 2},
            r"words\.npy: expected numbers, got <U1 \[64, 64\]",
        ),
        (
            {"frames": [{"image": "0.png", "cloud": "0.npy"}] * 2},
            r"0\.npy: expected floats \[n, 3\] to \[n, 32\] .* got float32 \[64, 64\]",
        ),
        (
            {"frames": [{"image": "0.png", "cloud": "whole.npy"}] * 2},
            r"whole\.npy: expected floats .* got int64 \[9, 3\]",
        ),
    ],
)
def test_own_frames_that_cannot_be_answered_are_refused(tmp_path, changes, said):
    sequence = own_frames(tmp_path, **changes)
    np.save(tmp_path / "c.npy", np.ones((9, 3), np.float32))
    np.save(tmp_path / "part.npy", np.ones((32, SIDE), np.float32))
    np.save(tmp_path / "words.npy", np.full((SIDE, SIDE), "a"))
    np.save(tmp_path / "whole.npy", np.ones((9, 3), np.int64))
    (tmp_path / "two.txt").write_text("P_rect_02: 64 0 31 0 0 70 31 0 0 0 1 0")
    with pytest.raises(InputError, match=said):
        sequence.pair(0, images=True, points=True)


def test_no_flow_is_none_and_a_frame_without_points_is_named(tmp_path):
    pair = own_frames(tmp_path, flow_2d=[]).pair(0, images=True, points=True)
    assert pair.flow_2d is None
    np.save(tmp_path / "1.npy", np.full((SIDE, SIDE), np.nan, np.float32))
    pair = Sequence(tmp_path / "pair.json", 0.5, 90.0).pair(0, images=True, points=True)
    with (
        collecting() as notes,
        pytest.raises(InputError, match=r"pair\.json, pair 0: the second f"),
    ):
        draw_points(drop_unusable(pair), 3, np.random.RandomState(0))
    assert not [note for note in notes if "repeated" in note.kind]


def test_a_camera_must_be_told(tmp_path):
    file = own_frames(tmp_path).file
    table = json.loads(file.read_text())
    del table["camera"]
    file.write_text(json.dumps(table))
    with pytest.raises(InputError, match=r"pair\.json: .*camera"):
        Sequence(file, 0.5, 90.0).pair(0, images=True, points=True)
