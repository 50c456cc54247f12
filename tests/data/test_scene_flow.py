import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvision.data import flow_files
from jaxvision.data.listed_files import look_for_some
from jaxvision.data.scene_flow import augmentation, geometry, sintel
from jaxvision.data.scene_flow.driving import Driving
from jaxvision.data.scene_flow.frames import FramePair, draw_points
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.data.scene_flow.kitti import PADDED, KittiFrames
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.methods.camliflow.background_refinement import refine
from jaxvision.methods.camliflow.inputs import WithTruth
from jaxvision.methods.camliflow.kitti_evaluation import Flows, background_of, counts_of, truth_of
from jaxvision.methods.camliflow.point_evaluation import cameras_of

CAMERA, SIZE = Camera(16.0, 7.0, 5.0), (12, 16)
DRAWS = np.random.RandomState(0)


@pytest.fixture
def pair() -> FramePair:
    """Focal length and depths are powers of two: points lie at their pixels exactly, so that those
    on the edge of a window are outside in any order of the tests."""
    cloud = geometry.lift_depth(np.float32(2.0 ** DRAWS.randint(1, 4, SIZE)), CAMERA)
    cloud = cloud.reshape(-1, 3)
    return FramePair(
        images=DRAWS.randint(0, 256, (2, *SIZE, 3)).astype(np.uint8),
        clouds=(cloud, cloud[:50]),
        camera=CAMERA,
        size=SIZE,
        flow_2d=np.concatenate([DRAWS.randn(*SIZE, 2), np.ones((*SIZE, 1))], -1),
        flow_3d=DRAWS.randn(len(cloud), 3).astype(np.float32),
        occluded=DRAWS.rand(len(cloud)) > 0.5,
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_mirrored_twice_is_the_same(pair, axis):
    once = augmentation.flip(pair, axis)
    twice = augmentation.flip(once, axis)
    assert not np.allclose(once.flow_3d, pair.flow_3d, atol=1e-3)
    assert np.array_equal(twice.images, pair.images)
    np.testing.assert_allclose(twice.clouds[0], pair.clouds[0], atol=1e-5)
    np.testing.assert_allclose(twice.flow_3d, pair.flow_3d, atol=1e-4)
    np.testing.assert_allclose(twice.flow_2d, pair.flow_2d)


def test_points_stay_at_their_pixels_when_frames_are_cropped_or_zoomed(pair):
    window = augmentation.Window(3, 2, 9, 7)
    cut = augmentation.crop(pair, window, drop_points=True)
    assert len(cut.clouds[0]) == len(cut.flow_3d) == len(cut.occluded) == 8 * 6
    there = geometry.project(cut.clouds[0], cut.camera)
    assert ((there > 0) & (there < [9, 7])).all()
    zoomed = augmentation.zoom(pair, window)
    shown = geometry.project(zoomed.clouds[0], zoomed.camera)
    wanted = (geometry.project(pair.clouds[0], CAMERA) - [3, 2]) * [15 / 8, 11 / 6]
    np.testing.assert_allclose(shown, wanted, atol=1e-4)


def test_draws_are_windows_inside_and_jitter_is_shared(pair):
    for seed in range(20):
        draws = np.random.RandomState(seed)
        left, top, width, height = augmentation.draw_zoom(SIZE, 1.5, draws)
        assert left >= 0
        assert top >= 0
        assert left + width <= 16
        assert top + height <= 12
        assert augmentation.draw_crop(SIZE, SIZE, draws) == (0, 0, 16, 12)
    steps = augmentation.draw_jitter(augmentation.KITTI_JITTER, np.random.RandomState(1))
    assert {name for name, _ in steps} == set(augmentation.OPERATIONS)
    both = replace(pair, images=np.stack([pair.images[0]] * 2))
    changed = augmentation.jitter_colours(both, steps).images
    assert np.array_equal(changed[0], changed[1])
    assert not np.array_equal(changed[0], pair.images[0])


def test_points_are_repeated_only_where_there_are_too_few(pair):
    drawn = draw_points(pair, 100, np.random.RandomState(3))
    assert len(np.unique(drawn.clouds[0], axis=0)) == 100
    assert drawn.clouds[1].shape == (100, 3)
    assert drawn.occluded.shape == (100,)
    empty = replace(pair, clouds=(pair.clouds[0], pair.clouds[1][:0]))
    with pytest.raises(InputError, match="no points left"):
        draw_points(empty, 100, np.random.RandomState(3))


def test_a_missing_file_of_kitti_is_named(tmp_path):
    frames = KittiFrames(tmp_path, "training40")
    for read, file in (
        (frames.images, "image_2/000005_10.png"),
        (frames.camera, "calib_cam_to_cam/000005.txt"),
        (lambda n: background_of(frames, n, PADDED), "semantic_ddr/000005_10.png"),
    ):
        with pytest.raises(InputError, match=f"{re.escape(file)}: no such file, which KITTI's"):
            read(1)
    # With pictures and calibration there, disparities are asked for.
    training = tmp_path / "training"
    for folder in ("image_2", "calib_cam_to_cam", "flow_occ"):
        (training / folder).mkdir(parents=True)
    for frame in (10, 11):
        Image.new("RGB", (80, 64)).save(training / f"image_2/000005_{frame}.png")
    (training / "calib_cam_to_cam/000005.txt").write_text("P_rect_02:" + " 1" * 12)
    flow, valid = np.zeros((64, 80, 2), np.float32), np.ones((64, 80), bool)
    flow_files.write_flow_png(training / "flow_occ/000005_10.png", flow, valid)
    for read, file in (
        (frames.with_truth, "disp_occ_0/000005_10.png"),
        (lambda n: frames.with_estimated_depth(n, 90.0), "disp_ganet/000005_10.png"),
    ):
        with pytest.raises(InputError, match=f"{re.escape(file)}: no such file, which KITTI's"):
            read(1)
    # A folder that is another one is known before minutes of compilation.
    (training / "image_2/000000_10.png").touch()
    look_for_some(Source(WithTruth(frames), 1))
    for lost in (WithTruth(KittiFrames(tmp_path / "x", "training40")), Driving(tmp_path)):
        assert len(lost.files()) == len(lost)
        with pytest.raises(InputError, match=r"_10\.png: no such|left/0001\.png: no such"):
            look_for_some(Source(lost, 1))
    with pytest.raises(InputError, match="unknown split"):
        KittiFrames(tmp_path, "training16")


@pytest.mark.parametrize(
    ("focal", "said"),
    [
        (0, "a focal length of 0, expected above 0"),
        (-3, "a focal length of -3, expected above 0"),
        (650, r"focal lengths of 650\.0 and 700\.0 pixels, expected one"),
    ],
)
def test_a_calibration_of_no_rectified_camera_is_refused(tmp_path, focal, said):
    folder = tmp_path / "training/calib_cam_to_cam"
    folder.mkdir(parents=True)
    (folder / "000005.txt").write_text(f"P_rect_02: {focal} 0 4 0 0 700 3 0 0 0 1 0")
    said = rf"000005\.txt: {said}"
    with pytest.raises(InputError, match=said):
        KittiFrames(tmp_path, "training40").camera(1)
    with pytest.raises(InputError, match=said):
        cameras_of(tmp_path / "training", of_kitti=True)


def write_kitti_truth(folder: Path, size: tuple[int, int] = (6, 8)) -> None:
    """Of record 0: flow, both disparities and, of nothing, objects."""
    flow, disparity = np.ones((*size, 2), np.float32), np.full(size, 9, np.float32)
    for name in ("flow_occ", "disp_occ_0", "disp_occ_1", "obj_map"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    flow_files.write_flow_png(folder / "flow_occ/000000_10.png", flow)
    for number in range(2):
        flow_files.write_disparity_png(folder / f"disp_occ_{number}/000000_10.png", disparity)
    Image.new("L", size[::-1]).save(folder / "obj_map/000000_10.png")


def test_truth_of_kitti_that_does_not_fit_is_refused(tmp_path):
    training, frames = tmp_path / "training", KittiFrames(tmp_path, "training40")
    write_kitti_truth(training)
    for folder in ("disp_ganet", "calib_cam_to_cam"):
        (training / folder).mkdir()
    (training / "calib_cam_to_cam/000000.txt").write_text("P_rect_02: 9 0 4 0 0 9 3 0 0 0 1 0")
    given = training / "disp_ganet/000000_10.png"
    flow_files.write_disparity_png(given, np.full((6, 8), 9, np.float32))
    points = np.float32([[0, 0, 1], [1, 0, 1], [0, 1, 2], [1, 1, 2]])
    flows = Flows(np.ones((6, 8, 2), np.float32), points * 0, points)
    (counts,) = counts_of(frames, 0, flows, [False])
    assert counts.pixels[:, 2, 0].tolist() == [48] * 4
    # 1. Disparities of another size than the truth.
    write_kitti_truth(training, (5, 8))
    with pytest.raises(InputError, match="one size, got disp_ganet 6 x 8, disp_occ_0 5 x 8"):
        counts_of(frames, 0, flows, [False])
    # 2. Objects in colour.
    write_kitti_truth(training)
    Image.new("RGB", (8, 6)).save(training / "obj_map/000000_10.png")
    with pytest.raises(InputError, match=r"obj_map/000000_10\.png: labels of shape \(6, 8, 3\)"):
        truth_of(frames, 0)


@pytest.mark.parametrize("moving", [80, 40])
def test_a_background_that_stands_still_is_refined_or_stays(moving):
    """Rays of pixels that do not move are parallel: no point is nearest to both."""
    size, flow = (60, 80), np.zeros((60, 80, 2), np.float32)
    flow[:, moving:] = 30
    disparity = np.random.RandomState(0).uniform(1, 100, size).astype(np.float32)
    everywhere = np.ones(size, bool)
    intrinsics = np.array([[700.0, 0, 40], [0, 700, 30], [0, 0, 1]])
    found = refine(
        flow,
        (disparity, disparity),
        everywhere,
        everywhere,
        intrinsics=intrinsics,
        baseline=0.54,
    )
    assert np.isfinite(found.flow).all()
    if moving == size[1]:
        assert np.array_equal(found.flow, flow)


def write_sintel(root: Path) -> None:
    """A pair of frames of 6 x 8 pixels; files as `fuzz.readers` has them."""
    pictures, flow, depth = (
        root / name / "alley_1"
        for name in ("flow/training/clean", "flow/training/flow", "depth/training/depth")
    )
    for each in (pictures, flow, depth):
        each.mkdir(parents=True)
    flow_files.write_flo(flow / "frame_0001.flo", np.ones((6, 8, 2), np.float32))
    for number in (1, 2):
        Image.new("RGB", (8, 6)).save(pictures / f"frame_{number:04d}.png")
        write_depth(depth / f"frame_{number:04d}.dpt", np.linspace(2, 9, 48).reshape(6, 8))


def write_depth(file: Path, depth: np.ndarray) -> None:
    header = np.float32(flow_files.MAGIC).tobytes() + np.int32(depth.shape[::-1]).tobytes()
    file.write_bytes(header + depth.astype("<f4").tobytes())


def test_a_depth_of_sintel_that_is_none_is_named(tmp_path):
    write_sintel(tmp_path)
    file = tmp_path / "depth/training/depth/alley_1/frame_0002.dpt"
    depth = np.ones((6, 8))
    assert sintel.Sintel(tmp_path, "clean", 20)[0].size == (6, 8)
    with pytest.raises(InputError, match=r"frame_0001\.dpt: 48 pixels, expected 50 or more"):
        sintel.Sintel(tmp_path, "clean", 50)[0]
    for bad in (0, np.nan, -1):
        depth[3, 1:4] = bad
        write_depth(file, depth)
        said = r"frame_0002\.dpt: expected depths above 0, got 3 of 48 that are not"
        with pytest.raises(InputError, match=said):
            sintel.Sintel(tmp_path, "clean", 20)[0]


def test_flow_of_sintel_that_is_unknown_does_not_count(tmp_path):
    write_sintel(tmp_path)
    file = tmp_path / "flow/training/flow/alley_1/frame_0001.flo"
    frames, flow = sintel.Sintel(tmp_path, "clean", 20), np.ones((6, 8, 2), np.float32)
    assert frames[0].flow_2d.shape == (6, 8, 2)
    flow[2, 3, 0], flow[4, 5, 1] = np.nan, 1e10
    flow_files.write_flo(file, flow)
    found = frames[0].flow_2d
    assert found[..., 2].sum() == 46
    assert found[2, 3].tolist() == found[4, 5].tolist() == [0, 0, 0]
    flow_files.write_flo(file, flow * np.nan)
    with pytest.raises(InputError, match=r"frame_0001\.flo: flow is known nowhere"):
        frames[0]


def test_depths_come_into_range_and_bad_ones_are_refused():
    depths = np.full((2, 4, 4), 900.0, np.float32)
    depths[1] += 50
    near = sintel.bring_near(depths, 16, 30.0)
    assert near.min() == sintel.NEAREST
    assert near.max() < 30
    for bad in (np.full_like(depths, np.nan), -depths):
        with pytest.raises(InputError, match="depths above 0, got 32 of 32 that are not"):
            sintel.bring_near(bad, 16, 30.0)
    with pytest.raises(InputError, match="16 pixels, expected 17"):
        sintel.bring_near(depths, 17, 30.0)


def test_flow_under_another_name_is_no_frame_of_sintel(tmp_path):
    folder = tmp_path / "flow/training/flow/alley_1"
    folder.mkdir(parents=True)
    (folder / "frame_0001_old.flo").touch()
    with pytest.raises(
        InputError, match=r"no flow, expected files such as alley_1/frame_0001\.flo"
    ):
        _ = sintel.Sintel(tmp_path, "clean", 16).pairs
    (folder / "frame_0007.flo").touch()
    (folder / "frame_².flo").touch()
    assert sintel.Sintel(tmp_path, "clean", 16).pairs == (("alley_1", 7),)
