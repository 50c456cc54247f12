"""Exact frames: every picture of these files carries its own number as a bar code."""

from pathlib import Path

import numpy as np
import pytest

from jaxvision.data.video import Video
from jaxvision.errors import InputError

FILES = Path(__file__).parents[1] / "goldens" / "videos"
WHOLE = {
    "fragmented.mp4": 60,
    "h264_bframes.mp4": 60,
    "h264_long_gop.mp4": 60,
    "h264_no_bframes.mkv": 60,
    "h264_open_gop.mp4": 60,
    "hevc_10bit.mp4": 60,
    "mjpeg.mov": 24,
    "mpeg4.avi": 60,
    "odd_size_444.mp4": 60,
    "one_frame.mp4": 1,
    "time_gap.mp4": 60,
    "variable_rate.mp4": 60,
    "vp9.webm": 60,
    "with_audio.mp4": 60,
}


def number_of(frame: np.ndarray) -> int:
    """The bar code: 12 blocks of 16x16 pixels, most significant first, over their complement."""
    blocks = frame[:32, :192].mean(-1).reshape(2, 16, 12, 16)[:, 4:12, :, 4:12].mean((1, 3))
    return int("".join("1" if over > under else "0" for over, under in blocks.T), 2)


@pytest.mark.parametrize(("name", "count"), WHOLE.items())
def test_every_frame_in_any_order(name, count):
    rng = np.random.default_rng(3)
    with Video(FILES / name) as video:
        assert len(video) == count
        orders = [np.arange(count), np.arange(count)[::-4], *rng.integers(0, count, (8, 3))]
        for numbers in orders:
            frames = video.frames(numbers)
            assert frames.dtype == np.uint8
            assert frames.shape == (len(numbers), *video.size, 3)
            assert [number_of(frame) for frame in frames] == list(numbers)


@pytest.mark.parametrize("name", ["variable_rate", "time_gap"])
def test_times(name):
    expected = np.loadtxt(FILES / f"{name}_pts_ms.txt")
    with Video(FILES / f"{name}.mp4") as video:
        # The list rounds to whole milliseconds.
        np.testing.assert_allclose(video.times * 1000, expected - expected[0], atol=1.1)


@pytest.mark.parametrize("name", ["damaged_middle.mkv", "truncated.mp4"])
def test_damage_never_gives_a_wrong_frame(name):
    refused = []
    with Video(FILES / name) as video:
        for number in range(len(video)):
            try:
                frame = video.frames([number])[0]
            except InputError as error:
                refused.append(str(error))
                continue
            assert number_of(frame) == number
        assert 0 < len(refused) < len(video)
        with pytest.raises(InputError, match=name):
            video.frames(range(len(video)))
    assert all(name in message and "\n" not in message for message in refused)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("zero_bytes.mp4", "not a video"),
        ("no_index.mp4", "not a video"),
        ("audio_only.mp4", "holds no video"),
        ("absent.mp4", "No such file"),
        ("variable_rate_pts_ms.txt", "not a video"),
    ],
)
def test_files_without_frames_are_refused_by_name(name, why):
    with pytest.raises(InputError, match=why) as raised:
        Video(FILES / name)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_number_outside_is_refused():
    with Video(FILES / "one_frame.mp4") as video, pytest.raises(InputError, match="no frame 1"):
        video.frames([0, 1])
