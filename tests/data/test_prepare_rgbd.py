"""SUN RGB-D and NYU Depth v2 from files as their owners ship them."""

import h5py
import numpy as np
import pytest
from PIL import Image

from jaxvision.data.hha import hha
from jaxvision.data.prepare_rgbd import (
    NYU_INTRINSICS,
    NYU_SIZES,
    Outcome,
    SunRgbd,
    check_nyu,
    prepare,
    read_lists,
    size_report,
)
from jaxvision.data.rgbd import canvas_folder
from jaxvision.errors import InputError

INTRINSICS = np.array([[30.0, 0, 16.5], [0, 30.0, 12.5], [0, 0, 1]])


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def metres(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 3, (24, 32)).round(3)


@pytest.fixture
def sun(tmp_path):
    for number in (1, 2):
        folder = tmp_path / "SUNRGBD" / "kv1" / "NYUdata" / f"NYU{number:04}"
        for kind in ("image", "depth_bfx", "depth"):
            (folder / kind).mkdir(parents=True)
        Image.fromarray(picture(number)).save(folder / "image" / f"NYU{number:04}.png")
        millimetres = np.rint(metres(number) * 1000).astype(np.uint32)
        rotated = ((millimetres << 3) | (millimetres >> 13)).astype(np.uint16)
        Image.fromarray(rotated).save(folder / "depth_bfx" / f"NYU{number:04}.png")
        Image.fromarray(np.zeros((24, 32), np.uint16)).save(folder / "depth" / "NYU.png")
        (folder / "intrinsics.txt").write_text(" ".join(map(str, INTRINSICS.ravel())))
    (tmp_path / "train.txt").write_text("kv1/NYUdata/NYU0001\tbedroom\n")
    (tmp_path / "val.txt").write_text(
        "/elsewhere/SUNRGBD/kv1/NYUdata/NYU0002/image/NYU0002.jpg\tkitchen\r\n"
    )
    return tmp_path


def test_sun_rgbd_becomes_canvases_and_is_resumed(sun):
    listed = read_lists([sun / "train.txt", sun / "val.txt"])
    done = list(prepare(listed, SunRgbd(sun / "SUNRGBD"), sun / "out", workers=1))
    assert [outcome for _, outcome in done] == [Outcome("", 0.0)] * 2
    canvases = canvas_folder(sun / "out" / "val", ("bedroom", "kitchen"))
    assert canvases[0]["label"] == 1
    np.testing.assert_array_equal(canvases[0]["rgb"], picture(2))
    np.testing.assert_array_equal(canvases[0]["depth"], hha(metres(2), INTRINSICS))
    # Nothing is made twice: a canvas that is there stays.
    (path,) = (sun / "out" / "train").rglob("*.png")
    path.write_bytes(b"kept")
    list(prepare(listed, SunRgbd(sun / "SUNRGBD"), sun / "out", workers=2))
    assert path.read_bytes() == b"kept"


def test_a_frame_that_is_not_there_is_named_and_the_others_are_made(sun):
    (sun / "train.txt").write_text("kv1/NYUdata/NYU0009\tbedroom\nkv1/NYUdata/NYU0001\tbedroom\n")
    listed = read_lists([sun / "train.txt", sun / "val.txt"])
    reasons = [one.reason for _, one in prepare(listed, SunRgbd(sun / "SUNRGBD"), sun / "out", 1)]
    assert "NYU0009: no such frame below" in reasons[0]
    assert reasons[1:] == ["", ""]


def test_depth_that_is_not_there_is_counted_or_refused(sun):
    folder = sun / "SUNRGBD" / "kv1" / "NYUdata" / "NYU0001"
    (file,) = (folder / "depth_bfx").iterdir()
    depth = np.array(Image.open(file))
    depth[:6] = 0
    Image.fromarray(depth).save(file)
    made = SunRgbd(sun / "SUNRGBD")
    assert made("kv1/NYUdata/NYU0001").unmeasured == 0.25
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(file)
    with pytest.raises(InputError, match="NYU0001: no pixel with a measured distance"):
        made("kv1/NYUdata/NYU0001")
    Image.fromarray(depth[:20]).save(file)
    with pytest.raises(InputError, match="NYU0001: picture 32 x 24 pixels, depth 32 x 20"):
        made("kv1/NYUdata/NYU0001")


def test_nyu_is_read_from_its_labelled_file(tmp_path):
    with h5py.File(tmp_path / "nyu.mat", "w") as file:
        file["images"] = np.stack([picture(n).transpose(2, 1, 0) for n in range(3)])
        file["depths"] = np.stack([metres(n).T for n in range(3)]).astype(np.float32)
    canvas = np.asarray(check_nyu(tmp_path / "nyu.mat")("2").picture)
    np.testing.assert_array_equal(canvas[:, :32], picture(1))
    expected = hha(metres(1).astype(np.float32).astype(float), NYU_INTRINSICS)
    np.testing.assert_array_equal(canvas[:, 32:], expected)
    with pytest.raises(InputError, match="expected 1 to 3"):
        check_nyu(tmp_path / "nyu.mat")("4")
    with pytest.raises(InputError, match="expected the number of a picture"):
        check_nyu(tmp_path / "nyu.mat")("kitchen_0001")
    (tmp_path / "other.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(InputError, match=r"other\.mat: expected nyu_depth_v2_labeled\.mat"):
        check_nyu(tmp_path / "other.mat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a bedroom\n", r"train\.txt:1: 'a bedroom': expected a frame, a tab and a class"),
        ("a\tbedroom\na\tkitchen\n", r"train\.txt:2: a: listed twice"),
        ("a\t../x\n", r"train\.txt:1: .*expected a frame, a tab and a class"),
    ],
)
def test_bad_lists_name_their_line(tmp_path, text, message):
    (tmp_path / "train.txt").write_text(text)
    (tmp_path / "val.txt").write_text("b\tkitchen\n")
    with pytest.raises(InputError, match=message):
        read_lists([tmp_path / "train.txt", tmp_path / "val.txt"])


def test_split_sizes_are_told_beside_the_published_ones(tmp_path):
    (tmp_path / "train.txt").write_text("".join(f"{n}\tbedroom\n" for n in range(795)))
    (tmp_path / "val.txt").write_text("b\tkitchen\n")
    listed = read_lists([tmp_path / "train.txt", tmp_path / "val.txt"])
    assert size_report(listed, NYU_SIZES) == "train 795, val 1 (published: 654)"
