"""Readers of RGB-D pairs, in the published layout and as people keep their own."""

import numpy as np
import pytest
from PIL import Image

from jaxvision.data.crops import Box
from jaxvision.data.hha import hha
from jaxvision.data.rgbd import (
    canvas_folder,
    hha_picture,
    pair_folder,
    picture_called,
    read_depth,
    read_intrinsics,
    read_pair_files,
    split_canvas,
)
from jaxvision.data.rgbd_transforms import EvaluationPair, TrainingPair
from jaxvision.errors import InputError

CLASSES = ("bedroom", "kitchen")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_canvas_is_cut_in_the_middle(tmp_path):
    pixels = picture(20, 53)
    save(tmp_path / "kitchen" / "a.png", pixels)
    save(tmp_path / "bedroom" / "b.png", picture(20, 52))
    canvases = canvas_folder(tmp_path, CLASSES)
    assert len(canvases) == 2
    assert canvases[1]["label"] == 1
    # Of an odd width the depth half has the column more, as published.
    np.testing.assert_array_equal(canvases[1]["rgb"], pixels[:, :26])
    np.testing.assert_array_equal(canvases[1]["depth"], pixels[:, 26:])


def test_a_picture_without_its_pair_is_named(tmp_path):
    save(tmp_path / "alone.png", picture(30, 40))
    with pytest.raises(InputError, match=r"alone\.png: 40 x 30: expected RGB and HHA side by side"):
        split_canvas(tmp_path / "alone.png")


def test_a_grey_canvas_counts_as_colour(tmp_path):
    save(tmp_path / "grey.png", picture(20, 52)[..., 0])
    rgb, depth = split_canvas(tmp_path / "grey.png")
    assert (rgb.mode, depth.mode) == ("RGB", "RGB")


def test_sixteen_bit_depth_is_read_by_its_unit(tmp_path):
    values = np.array([[0, 1500], [9000, 60000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "depth.png")
    np.testing.assert_allclose(read_depth(tmp_path / "depth.png"), [[0, 1.5], [9, 10]])
    np.testing.assert_allclose(
        read_depth(tmp_path / "depth.png", "tenth_millimetres"), [[0, 0.15], [0.9, 6]]
    )
    # SUN RGB-D rotates the bits of millimetres by three.
    rotated = ((values.astype(np.uint32) << 3) | (values >> 13)).astype(np.uint16)
    Image.fromarray(rotated).save(tmp_path / "rotated.png")
    np.testing.assert_allclose(read_depth(tmp_path / "rotated.png", "sunrgbd"), [[0, 1.5], [9, 10]])


def test_eight_bits_are_no_depth_in_metres(tmp_path):
    for pixels, held in ((picture(4, 4)[..., 0], "1 x 8"), (picture(4, 4), "3 x 8")):
        save(tmp_path / "depth.png", pixels)
        message = f"depth of {held} bits; expected one channel of 16"
        with pytest.raises(InputError, match=message):
            read_depth(tmp_path / "depth.png")


def test_intrinsics_of_four_and_of_nine_numbers(tmp_path):
    (tmp_path / "four.txt").write_text("\ufeff500 510 320 240\r\n", encoding="utf-8")
    (tmp_path / "nine.txt").write_text("500 0 320\n0 510 240\n0 0 1\n")
    (tmp_path / "five.txt").write_text("1 2 3 4 5")
    np.testing.assert_array_equal(
        read_intrinsics(tmp_path / "four.txt"), read_intrinsics(tmp_path / "nine.txt")
    )
    with pytest.raises(InputError, match=r"five\.txt: 5 numbers; expected 9"):
        read_intrinsics(tmp_path / "five.txt")
    (tmp_path / "flat.txt").write_text("0 510 320 240")
    with pytest.raises(InputError, match=r"flat\.txt: focal lengths 0, 510: expected > 0"):
        read_intrinsics(tmp_path / "flat.txt")


def own_pairs(root) -> tuple[np.ndarray, np.ndarray]:
    """Two classes with a pair each: HHA made already, and 16-bit depth."""
    made = picture(24, 32, 1)
    save(root / "bedroom" / "rgb" / "a.jpg", picture(24, 32))
    save(root / "bedroom" / "depth" / "a.png", made)
    depth = np.full((24, 32), 2000, np.uint16)
    depth[12:] = 1800
    save(root / "kitchen" / "rgb" / "b.png", picture(24, 32))
    save(root / "kitchen" / "depth" / "b.png", depth)
    save(root / "kitchen" / "rgb" / ".DS_Store.png", picture(2, 2))
    (root / "intrinsics.txt").write_text("30 30 16.5 12.5")
    return made, depth


def test_own_pairs_are_hha_pictures_or_depth(tmp_path):
    made, depth = own_pairs(tmp_path)
    pairs = pair_folder(tmp_path, CLASSES)
    assert [pairs[i]["label"] for i in range(2)] == [0, 1]
    np.testing.assert_array_equal(pairs[0]["depth"], made)
    intrinsics = read_intrinsics(tmp_path / "intrinsics.txt")
    np.testing.assert_array_equal(pairs[1]["depth"], hha(depth / 1000, intrinsics))


def test_what_is_unlike_published_files_is_counted(tmp_path):
    own_pairs(tmp_path / "pairs")
    save(tmp_path / "pairs" / "kitchen" / "rgb" / "c.png", picture(24, 32))
    save(tmp_path / "pairs" / "kitchen" / "depth" / "c.png", picture(24, 32)[..., 0])
    pairs = pair_folder(tmp_path / "pairs", CLASSES)
    assert pairs.summary() == (
        "3 pairs of 2 classes: bedroom 1, kitchen 2; 1 depth as HHA pictures; 1 depth of 16 bits; "
        "1 depth of one channel of 8 bits (taken as it is: no distances)"
    )
    grey = np.asarray(pairs[2]["depth"])
    np.testing.assert_array_equal(grey, picture(24, 32)[..., :1].repeat(3, axis=2))

    for name, pixels in (
        ("a", picture(24, 64)),
        ("b", picture(24, 65)),
        ("c", picture(24, 63)[..., 0]),
    ):
        save(tmp_path / "canvases" / "bedroom" / f"{name}.png", pixels)
    (tmp_path / "canvases" / "bedroom" / "notes.txt").write_text("mine")
    canvases = canvas_folder(tmp_path / "canvases", ("bedroom",))
    assert canvases.summary() == (
        "3 canvases of 1 classes: bedroom 3; skipped: 1 .txt; 1 grey; 2 of odd width"
    )


def test_wrong_pairs_are_named(tmp_path):
    own_pairs(tmp_path)
    with pytest.raises(InputError, match=r"kitchen: its name is none of the 1 classes \(bedroom\)"):
        pair_folder(tmp_path, ("bedroom",))
    save(tmp_path / "kitchen" / "depth" / "b.png", np.zeros((24, 32), np.uint16))
    with pytest.raises(InputError, match=r"b\.png: no pixel with a measured distance"):
        pair_folder(tmp_path, CLASSES)[1]
    (tmp_path / "intrinsics.txt").unlink()
    with pytest.raises(InputError, match=r"b\.png: 16-bit depth needs .*intrinsics\.txt"):
        pair_folder(tmp_path, CLASSES)[1]
    save(tmp_path / "bedroom" / "depth" / "a.png", picture(24, 30))
    with pytest.raises(InputError, match=r"a\.png: 30 x 24 pixels, but .*a\.jpg has 32 x 24"):
        pair_folder(tmp_path, CLASSES)[0]
    (tmp_path / "bedroom" / "depth" / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.jpg: no depth/a\.\* beside it"):
        pair_folder(tmp_path, CLASSES)


def test_both_pictures_get_one_crop_and_one_flip():
    pixels = picture(40, 50)
    record = {"rgb": pixels, "depth": 255 - pixels, "label": 3}
    transform = TrainingPair(16, (0.3, 0.9), (0.75, 1.33), flip=0.5)
    for seed in range(8):
        sample = transform(record, np.random.default_rng(seed), "pairs")
        total = sample["rgb"].astype(int) + sample["depth"]
        assert np.abs(total - 255).max() <= 1, "the pictures were cut apart"
    assert sample["label"] == 3


def test_a_mirrored_pair_is_mirrored_inside_each_picture():
    rgb, depth = (Image.fromarray(picture(16, 16, seed)) for seed in (0, 1))
    transform = TrainingPair(16, (1, 1), (1, 1), flip=1.0)
    whole = Box(0, 0, 16, 16)
    plain = transform.cut(rgb, depth, whole, mirrored=False)
    mirrored = transform.cut(rgb, depth, whole, mirrored=True)
    for one, other in zip(plain, mirrored, strict=True):
        np.testing.assert_array_equal(one, other[:, ::-1])


def test_evaluation_keeps_both_halves_apart_but_for_the_seam():
    record = {
        "rgb": np.full((30, 40, 3), 50, np.uint8),
        "depth": np.full((30, 40, 3), 200, np.uint8),
        "label": 0,
    }
    sample = EvaluationPair(20)(record, np.random.default_rng(0), "pairs")
    assert (sample["rgb"][:, :-2] == 50).all()
    assert (sample["depth"][:, 2:] == 200).all()
    assert sample["rgb"].shape == sample["depth"].shape == (20, 20, 3)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full((4, 6), 70_000, np.int32), "depth from 70000 to 70000; expected 16 bits"),
        (np.full((4, 6), -1, np.int32), "depth from -1 to -1; expected 16 bits"),
        (np.full((4, 6), 2.5, np.float32), "depth in float values; expected a 16-bit PNG"),
    ],
)
def test_depth_that_is_not_of_16_bits_is_refused(tmp_path, values, why):
    path = tmp_path / "room" / "depth" / "a.tif"
    path.parent.mkdir(parents=True)
    Image.fromarray(values).save(path)
    (tmp_path / "room" / "intrinsics.txt").write_text("5 5 3 2")
    with pytest.raises(InputError, match=why):
        hha_picture(path)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_picture_that_is_turned_unlike_its_depth_is_refused(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(6, 6)).save(tmp_path / "turned.png", exif=exif)
    save(tmp_path / "upright.png", picture(6, 6))
    with pytest.raises(InputError, match=rf"its EXIF turns it \(orientation {orientation}\)"):
        read_pair_files(tmp_path / "turned.png", tmp_path / "upright.png")
    read_pair_files(tmp_path / "turned.png", tmp_path / "turned.png")


def test_two_pictures_of_one_name_are_refused(tmp_path):
    own_pairs(tmp_path)
    save(tmp_path / "bedroom" / "rgb" / "a.png", picture(24, 32))
    with pytest.raises(InputError, match=r"a\.png: beside a\.jpg: which of them is meant"):
        pair_folder(tmp_path, CLASSES)


def test_a_picture_is_told_by_its_whole_name(tmp_path):
    for name in ("a.b.png", "a.png", "c[1].png", "c1.png"):
        save(tmp_path / name, picture(4, 4))
    for stem in ("a", "a.b", "c[1]"):
        assert picture_called(tmp_path, stem) == tmp_path / f"{stem}.png"
    assert picture_called(tmp_path, "b") is None
