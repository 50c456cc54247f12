import numpy as np
import pytest
from PIL import Image

from jaxvision.data import flow_files
from jaxvision.data.conversions import collecting
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
    frame = ThingsPreparation(tmp_path, tmp_path / "made").read("val", 0)
    clouds = clouds_of(frame, 20, without_occluded=True)
    assert len(clouds.first) == 20
    np.testing.assert_allclose(clouds.second - clouds.first, clouds.flow, atol=1e-6)
    assert not clouds.occluded.any()


def test_frames_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(InputError, match="no train/flow"):
        ThingsPreparation(tmp_path, tmp_path / "made").frames()
    write_frames(tmp_path / "val", 1)
    work = ThingsPreparation(tmp_path, tmp_path / "made")
    far = work.read("val", 0)
    far = RawFrame(far.first * 0 + 1, *far[1:])
    with pytest.raises(InputError, match="no point nearer"):
        clouds_of(far, 20, without_occluded=False)
    flow_files.write_pfm(tmp_path / "val/disparity/left/0000001.pfm", -np.ones((2, 2)))
    (outcome,) = work.run(1)
    assert "expected maps of one size" in outcome.reason


INTO = "left/into_future/0000000"


def nothing(*size: int) -> np.ndarray:
    return np.full(size, np.nan, np.float32)


@pytest.mark.parametrize(
    ("file", "write", "said"),
    [
        ("image_clean/left/0000000.png", lambda f: f.write_text("garbage"), "not a picture"),
        ("image_clean/left/0000001.png", lambda f: f.write_text("garbage"), "not a picture"),
        ("image_clean/left/0000001.png", lambda f: f.unlink(), "No such file"),
        ("image_clean/left/0000000.png", lambda f: Image.new("RGB", (60, 50)).save(f), "50 x 60"),
        ("disparity/left/0000000.pfm", lambda f: flow_files.write_pfm(f, nothing(*SIZE)), "number"),
        (
            "disparity/left/0000001.pfm",
            lambda f: flow_files.write_pfm(f, np.ones(SIZE)),
            "no disparity is below 0",
        ),
        (
            f"disparity_change/{INTO}.pfm",
            lambda f: flow_files.write_pfm(f, nothing(*SIZE)),
            "no value is a number",
        ),
        (
            f"disparity_change/{INTO}.pfm",
            lambda f: flow_files.write_pfm(f, nothing(*SIZE, 3)),
            "got colours",
        ),
        (
            f"flow/{INTO}.flo",
            lambda f: flow_files.write_flo(f, nothing(*SIZE, 2)),
            "no value is a number",
        ),
    ],
)
def test_a_frame_with_a_bad_file_is_left_out_and_nothing_of_it_written(tmp_path, file, write, said):
    write_frames(tmp_path / "raw/train", 1)
    write(tmp_path / "raw/train" / file)
    (outcome,) = ThingsPreparation(tmp_path / "raw", tmp_path / "made").run(1)
    assert outcome.name == "train/0000000"
    assert file in outcome.reason
    assert said in outcome.reason
    assert not [path for path in (tmp_path / "made").rglob("*") if path.is_file()]


def test_a_frame_has_its_second_picture_where_the_next_one_is_left_out(tmp_path):
    write_frames(tmp_path / "raw/train")
    flow_files.write_pfm(tmp_path / "raw/train/disparity/left/0000002.pfm", np.ones(SIZE))
    work = ThingsPreparation(tmp_path / "raw", tmp_path / "made")
    assert [bool(outcome.reason) for outcome in work.run(2)] == [False, True]
    pair = FlyingThings(tmp_path / "made", "train")[0]
    assert pair.images[:, 0, 0, 0].tolist() == [0, 1]
    pictures = (tmp_path / "made/train/image_clean").iterdir()
    assert sorted(path.name for path in pictures) == ["0000000.png", "0000001.png"]


def test_frames_are_not_prepared_in_place(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    for target in (tmp_path, tmp_path / "link"):
        with pytest.raises(InputError, match="another folder than that of the source"):
            ThingsPreparation(tmp_path, target)


def test_prepared_points_without_numbers_are_left_out_or_refused(tmp_path):
    write_frames(tmp_path / "raw/train", 1)
    assert not next(ThingsPreparation(tmp_path / "raw", tmp_path / "made").run(1)).reason
    folder, frames = tmp_path / "made/train", FlyingThings(tmp_path / "made", "train")
    flow = np.load(folder / "flow_3d/0000000.npy")
    flow[3, 1] = np.nan
    np.save(folder / "flow_3d/0000000.npy", flow)
    with collecting() as notes:
        pair = frames[0]
    assert len(pair.clouds[0]) == len(pair.flow_3d) == len(pair.occluded) == 39
    assert np.isfinite(pair.flow_3d).all()
    assert [(note.kind, note.detail) for note in notes] == [("points without a flow left out", "1")]
    np.save(folder / "flow_3d/0000000.npy", flow * np.nan)
    with pytest.raises(InputError, match=r"flow_3d/0000000\.npy: none of 40 points"):
        frames[0]
    clouds = dict(np.load(folder / "pc/0000000.npz"))
    np.savez(folder / "pc/0000000.npz", pc1=clouds["pc1"], pc2=clouds["pc2"] * np.nan)
    with pytest.raises(InputError, match=r"pc/0000000\.npz: none of 40 points has numbers in pc2"):
        frames[0]
