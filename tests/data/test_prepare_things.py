import numpy as np
import pytest
from PIL import Image

from jaxvision.data import flow_files
from jaxvision.data.scene_flow.flying_things import CAMERA, FlyingThings
from jaxvision.data.scene_flow.geometry import project
from jaxvision.data.scene_flow.prepare_things import RawFrame, ThingsPreparation, clouds_of
from jaxvision.errors import InputError

SIZE = (6, 8)


def write_frames(root, frames: int = 2) -> None:
    """A wall at 20 m that moves one pixel right and a metre nearer; its first row is at 70 m."""
    into = "left/into_future"
    disparity = np.full(SIZE, 1050 / 20, np.float32)
    disparity[0] = 1050 / 70
    for part in ("image_clean/left", "disparity/left"):
        (root / part).mkdir(parents=True)
    for part in ("disparity_change", "flow", "flow_occlusions"):
        (root / part / into).mkdir(parents=True)
    for number in range(frames + 1):
        Image.new("RGB", SIZE[::-1], (number, 0, 9)).save(
            root / f"image_clean/left/{number:07d}.png"
        )
        flow_files.write_pfm(root / f"disparity/left/{number:07d}.pfm", -disparity)
    flow = np.broadcast_to(np.float32([1, 0]), (*SIZE, 2)).copy()
    flow[5, 5] = 600
    occluded = np.zeros(SIZE, np.uint8)
    occluded[:, -1] = 255
    for number in range(frames):
        name = f"{number:07d}"
        change = np.full(SIZE, 1050 / 19 - 1050 / 20, np.float32)
        flow_files.write_pfm(root / f"disparity_change/{into}/{name}.pfm", -change)
        flow_files.write_flo(root / f"flow/{into}/{name}.flo", flow)
        Image.fromarray(occluded).save(root / f"flow_occlusions/{into}/{name}.png")


def test_prepared_frames_are_read_with_their_motion(tmp_path):
    write_frames(tmp_path / "raw/train")
    (tmp_path / "raw/train/flow/left/into_future/².flo").touch()  # no number of a frame
    work = ThingsPreparation(tmp_path / "raw", tmp_path / "made")
    assert [outcome.reason for outcome in work.run(1)] == ["", ""]
    frames = FlyingThings(tmp_path / "made", "train")
    assert len(frames) == 2
    pair = frames[1]
    assert pair.images[:, 0, 0, 0].tolist() == [1, 2]
    assert len(pair.clouds[0]) == len(pair.clouds[1]) == 5 * 8  # without the far row
    start, end = (project(p, CAMERA) for p in (pair.clouds[0], pair.clouds[0] + pair.flow_3d))
    slow = np.abs(end - start).max(axis=1) < 500
    np.testing.assert_allclose((end - start)[slow], [[1, 0]] * 39, atol=1e-2)
    np.testing.assert_allclose(pair.flow_3d[:, 2], -1, atol=1e-3)
    assert pair.occluded.sum() == 5
    assert pair.flow_2d[5, 5].tolist() == [0, 0, 0]
    again = list(work.run(1))
    assert all(outcome.reason == "" for outcome in again)


def test_without_occluded_points_clouds_correspond(tmp_path):
    write_frames(tmp_path / "val", 1)
    frame = ThingsPreparation(tmp_path, tmp_path).read("val", 0)
    clouds = clouds_of(frame, 20, without_occluded=True)
    assert len(clouds.first) == 20
    np.testing.assert_allclose(clouds.second - clouds.first, clouds.flow, atol=1e-6)
    assert not clouds.occluded.any()


def test_frames_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(InputError, match="no train/flow"):
        ThingsPreparation(tmp_path, tmp_path).frames()
    write_frames(tmp_path / "val", 1)
    work = ThingsPreparation(tmp_path, tmp_path / "made")
    far = work.read("val", 0)
    far = RawFrame(far.first * 0 + 1, *far[1:])
    with pytest.raises(InputError, match="no point nearer"):
        clouds_of(far, 20, without_occluded=False)
    flow_files.write_pfm(tmp_path / "val/disparity/left/0000001.pfm", np.ones((2, 2)))
    (outcome,) = work.run(1)
    assert "expected maps of one size" in outcome.reason
