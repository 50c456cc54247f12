"""Frames that no other needs are not decoded; those that are asked for come out the same."""

from pathlib import Path

import av
import numpy as np
import pytest

import media
from jaxvision.data.h264 import has_whole_frames
from jaxvision.data.video import Video

FRAMES = [np.roll(media.corners(), 2 * number, 1) for number in range(20)]
# P, then three B-frames that nothing is made from, and so on.
B_FRAMES = "bframes=3:b-adapt=0:b-pyramid=none:scenecut=0"


def written(path: Path, parameters: str, pixels: str = "yuv420p") -> Path:
    return media.video(path, FRAMES, options={"x264-params": parameters}, pixels=pixels)


def configuration(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.extradata


@pytest.mark.parametrize(
    "parameters", [B_FRAMES, "bframes=3", "bframes=3:open-gop=1:keyint=8", "interlaced=1"]
)
def test_frames_alone_are_those_of_the_whole(tmp_path, parameters):
    rng = np.random.default_rng(0)
    with Video(written(tmp_path / "v.mkv", parameters)) as video:
        whole = np.stack([frame.to_ndarray(format="rgb24") for frame in video.stream()])
        for numbers in ([0], [19], [3, 7, 11], [2, 2, 1], *rng.integers(0, 20, (4, 3))):
            np.testing.assert_array_equal(video.frames(numbers), whole[numbers])


class Counting:
    """A container that counts the packets that are read."""

    def __init__(self, container: av.container.InputContainer):
        self._container, self.packets = container, 0

    def __getattr__(self, name: str):
        return getattr(self._container, name)

    def demux(self, *streams):
        for packet in self._container.demux(*streams):
            self.packets += 1
            yield packet


@pytest.mark.parametrize(
    ("parameters", "numbers", "frames", "packets"),
    [
        (B_FRAMES, [0, 8, 16], 5, 14),  # 0 4 8 12 16 of 0 4 1 2 3 8 5 6 7 12 9 10 11 16
        (B_FRAMES, [9], 5, 11),  # 0 4 8 12 9
        ("bframes=0:scenecut=0", [2], 3, 3),
        ("interlaced=1:" + B_FRAMES, [8], 9, 20),
    ],
)
def test_only_what_is_needed_is_decoded(tmp_path, parameters, numbers, frames, packets):
    with Video(written(tmp_path / "v.mp4", parameters)) as video:
        stamps = [video._stamps[number] for number in numbers]
        video._container = counting = Counting(video._container)
        decoded = list(video._decode(0, max(stamps), stamps))
        assert len(decoded) <= frames
        assert counting.packets <= packets


@pytest.mark.parametrize(
    ("parameters", "pixels", "whole"),
    [
        ("", "yuv420p", True),
        ("", "yuv444p", True),
        ("profile=baseline", "yuv420p", True),
        ("interlaced=1", "yuv420p", False),
    ],
)
def test_whole_frames_are_known_by_the_parameters(tmp_path, parameters, pixels, whole):
    found = configuration(written(tmp_path / "v.mp4", parameters, pixels))
    assert has_whole_frames(found) == whole
    for length in range(12):
        assert not has_whole_frames(found[:length])


@pytest.mark.parametrize("wrong", [None, b"", bytes(40), b"\1" * 40, b"\0\0\0\1\x67" + bytes(20)])
def test_other_configurations_say_nothing(wrong):
    assert not has_whole_frames(wrong)
