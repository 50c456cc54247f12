"""The benchmarks' layouts, what each protocol shows the network, and the training crops."""

import numpy as np
import pytest
from PIL import Image

from jaxvision.data import frame_interpolation as readers
from jaxvision.data.yuv_video import YuvFile
from jaxvision.errors import InputError
from jaxvision.methods.emavfi import benchmarks, evaluation, inputs
from jaxvision.methods.emavfi.inputs import Draw, FrameCrop
from methods.emavfi.stand_in import flat

RNG = np.random.default_rng(0)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def test_vimeo_triplets_are_read_in_bgr(tmp_path):
    red = flat(0)
    red[..., 0] = 200
    for name, image in (("im1", red), ("im2", flat(2)), ("im3", flat(3))):
        save(tmp_path / "sequences/00001/0002" / f"{name}.png", image)
    (tmp_path / "tri_testlist.txt").write_text("00001/0002\n\n")
    records = readers.vimeo_triplets(tmp_path, "test")
    frames = records[0]["frames"]
    assert len(records) == 1
    assert frames[0, 0, 0].tolist() == [0, 0, 200]
    assert frames[1:, 0, 0, 0].tolist() == [2, 3]
    assert records.size(0) == (24, 32)


def test_a_list_with_missing_folders_is_refused(tmp_path):
    (tmp_path / "sequences/00001/0001").mkdir(parents=True)
    (tmp_path / "tri_trainlist.txt").write_text("00001/0001\n00001/0002\n00003/0001\n")
    with pytest.raises(InputError, match=r"2 listed folders are missing.*00001/0002"):
        readers.vimeo_triplets(tmp_path, "train")
    with pytest.raises(InputError, match=r"sep_trainlist.txt: no such list"):
        readers.vimeo_septuplets(tmp_path, "train")


def test_snu_film_takes_the_target_from_the_middle(tmp_path):
    for number in range(3):
        save(tmp_path / f"test/a/{number}.png", flat(number))
    (tmp_path / "test-hard.txt").write_text("test/a/0.png test/a/1.png test/a/2.png\n")
    frames = readers.snu_film(tmp_path, "hard")[0]["frames"]
    assert frames[:, 0, 0, 0].tolist() == [0, 1, 2]
    (tmp_path / "test-easy.txt").write_text("test/a/0.png test/a/1.png\n")
    with pytest.raises(InputError, match="line 1 has 2 paths, expected 3"):
        readers.snu_film(tmp_path, "easy")


def test_xiph_xtest_middlebury_ucf101(tmp_path):
    for number in range(1, 6):
        save(tmp_path / f"xiph/Tango-{number:03d}.png", flat(number))
    xiph = readers.xiph(tmp_path / "xiph", ["Tango"], last=4)
    assert [xiph[i]["frames"][:, 0, 0, 0].tolist() for i in range(2)] == [[1, 2, 3], [3, 4, 5]]
    for number in range(33):
        save(tmp_path / f"xtest/Type1/scene/{number:04d}.png", flat(number))
    frames = readers.xtest(tmp_path / "xtest")[0]["frames"]
    assert frames[:, 0, 0, 0].tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32]
    save(tmp_path / "mb/other-data/Venus/frame10.png", flat(10))
    save(tmp_path / "mb/other-data/Venus/frame11.png", flat(11))
    save(tmp_path / "mb/other-gt-interp/Venus/frame10i11.png", flat(105))
    frames = readers.middlebury(tmp_path / "mb", ["Venus"])[0]["frames"]
    assert frames[:, 0, 0, 0].tolist() == [10, 105, 11]
    for name, value in (("frame_00", 1), ("frame_01_gt", 2), ("frame_02", 3)):
        save(tmp_path / f"ucf/7/{name}.png", flat(value))
    assert readers.ucf101(tmp_path / "ucf")[0]["frames"][:, 0, 0, 0].tolist() == [1, 2, 3]


def test_yuv_files_end_where_they_end(tmp_path):
    path = tmp_path / "clip.yuv"
    RNG.integers(0, 256, 2 * 4 * 6 * 3 // 2 + 5, dtype=np.uint8).tofile(path)
    file = YuvFile(path, 4, 6)
    assert len(file) == 2
    assert file.frame(1).shape == (4, 6, 3)
    with pytest.raises(InputError, match="no frame 2 of 6x4"):
        file.frame(2)


def test_area_halving_rounds_half_up_in_8_bits_and_not_at_all_in_floats():
    image = np.array([[[1], [2]], [[2], [1]]], np.uint8)  # mean 1.5
    assert readers.halve_area(image).item() == 2
    assert readers.halve_area(image.astype(np.float32)).item() == 1.5


def test_central_half():
    image = np.arange(8 * 12).reshape(8, 12, 1)
    np.testing.assert_array_equal(readers.central_half(image), image[2:6, 3:9])


def test_protocols_of_many_times_need_a_model_for_any_time():
    for name in ("xtest_4k", "hd_720p"):
        with pytest.raises(InputError, match=r"trained for t = 0\.5 alone"):
            benchmarks.protocol(name, any_time=False)
    assert benchmarks.protocol("hd_720p", any_time=True).times == (0.25, 0.5, 0.75)
    with pytest.raises(InputError, match="did you mean 'vimeo90k'"):
        benchmarks.protocol("vimeo", any_time=True)


def test_rounding_is_each_benchmarks_own():
    truth = flat(100)
    close = truth / 255 + 0.4 / 255
    assert benchmarks.rounded(close, truth)["psnr"] == np.inf
    assert benchmarks.eight_bit(close, truth)["psnr"] == np.inf
    assert benchmarks.plain(close, truth)["psnr"] == pytest.approx(-20 * np.log10(0.4 / 255))
    assert benchmarks.error(close, truth)["ie"] == 0


def test_means_over_images_or_over_clips():
    measured = {
        0: (0, [{"psnr": 10.0}, {"psnr": 20.0}]),
        1: (0, [{"psnr": 30.0}]),
        2: (1, [{"psnr": 50.0}]),
    }
    assert evaluation.means(measured, by_clip=False) == {"psnr": 27.5, "images": 4}
    assert evaluation.means(measured, by_clip=True) == {"psnr": 35.0, "images": 4}


def test_augmentation_moves_all_frames_alike_and_time_with_the_swap():
    frames = RNG.integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    same = Draw(3, 5, False, False, False, False, 0)
    got, t = inputs.augment(frames, 0.25, (32, 32), same)
    np.testing.assert_array_equal(got, frames[:, 3:35, 5:37])
    assert t == 0.25
    swapped, t = inputs.augment(frames, 0.25, (32, 32), same._replace(swap=True))
    np.testing.assert_array_equal(swapped, got[::-1])
    assert t == 0.75
    turned, _ = inputs.augment(frames, 0.25, (32, 32), same._replace(turns=1))
    np.testing.assert_array_equal(turned[:, 0, -1], got[:, 0, 0])  # clockwise
    other = same._replace(reverse_channels=True, flip_vertical=True, flip_horizontal=True)
    flipped, _ = inputs.augment(frames, 0.25, (32, 32), other)
    np.testing.assert_array_equal(flipped, got[:, ::-1, ::-1, ::-1])


def test_every_choice_is_drawn_half_of_the_time():
    rng = np.random.default_rng(1)
    draws = [inputs.draw(rng, (40, 50), (32, 32)) for _ in range(2000)]
    for name in ("reverse_channels", "swap", "flip_vertical", "flip_horizontal"):
        assert abs(np.mean([getattr(d, name) for d in draws]) - 0.5) < 0.05
    counts = np.bincount([d.turns for d in draws], minlength=4)
    assert np.all(abs(counts / 2000 - 0.25) < 0.05)
    assert {d.top for d in draws} == set(range(9))
    oblong = [inputs.draw(rng, (40, 80), (32, 64)) for _ in range(100)]
    assert {d.turns for d in oblong} == {0, 2}


def test_any_time_takes_three_frames_at_the_time_they_have():
    frames = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 64, 64, 3), np.uint8)
    crop = FrameCrop({"64x64": (64, 64)}, any_time=True)
    seen = set()
    for seed in range(200):
        sample = crop({"frames": frames}, np.random.default_rng(seed), "64x64")
        first, middle, last = (int(v) for v in sample["frames"][:, 0, 0, 0])
        assert sample["time"] == np.float32((middle - first) / (last - first))
        assert first < middle < last or first > middle > last
        seen.add((first, middle, last))
    assert len(seen) > 50
    fixed = FrameCrop({"64x64": (64, 64)}, any_time=False)
    sample = fixed({"frames": frames[:3]}, np.random.default_rng(0), "64x64")
    assert sample["time"] == 0.5


def test_a_crop_larger_than_the_frames_is_refused():
    with pytest.raises(InputError, match="frames of 50x40 are smaller than 64x64"):
        inputs.draw(RNG, (40, 50), (64, 64))
