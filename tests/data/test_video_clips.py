"""Which frames make a clip: the rules' edges. Their values are golden cases."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxvision.data import video_clips
from jaxvision.data.conversions import collecting
from jaxvision.data.frame_sequence import FrameSequence
from jaxvision.data.video_clips import SAMPLINGS, FrameSampling
from jaxvision.data.video_list import LabelledVideo


@given(
    st.sampled_from(SAMPLINGS), st.integers(1, 200), st.integers(1, 20), st.integers(0, 2**32 - 1)
)
def test_every_rule_stays_inside_the_video(kind, total, frames, seed):
    sampling = FrameSampling(kind, frames, 3)
    clips = [
        sampling.training(total, np.random.default_rng(seed)),
        sampling.validation(total),
        *sampling.test(total, 3),
    ]
    for clip in clips:
        assert clip.shape == (frames,)
        assert clip.min() >= 0
        assert clip.max() < total


def test_the_uniform_rule_takes_a_frame_of_each_part():
    # 10 frames in parts of 9/4: they begin at 0, 2 (of 2.25), 4 (of 4.5, to even) and 7.
    np.testing.assert_array_equal(video_clips.uniform_bounds(10, 4), [0, 2, 4, 7, 9])
    drawn = [FrameSampling("uniform", 4).training(10, np.random.default_rng(n)) for n in range(200)]
    assert np.min(drawn, axis=0).tolist() == [0, 2, 4, 7]
    assert np.max(drawn, axis=0).tolist() == [2, 4, 7, 9]
    # 2.25 / 2 = 1 frame into each part; with two segments 0 and 1.
    np.testing.assert_array_equal(FrameSampling("uniform", 4).validation(10), [1, 3, 5, 8])
    np.testing.assert_array_equal(
        FrameSampling("uniform", 4).test(10, 2), [[0, 2, 4, 7], [1, 3, 5, 8]]
    )


@pytest.mark.parametrize("total", [1, 3])
def test_uniform_clips_of_short_videos_repeat_frames(total):
    clip = FrameSampling("uniform", 8).validation(total)
    assert (np.diff(clip) >= 0).all()
    assert set(clip) <= set(range(total))


@pytest.mark.parametrize("kind", SAMPLINGS)
def test_videos_shorter_than_a_clip_are_noted(kind):
    class Frames(FrameSequence):
        def __len__(self):
            return 5

        def _read(self, numbers):
            return np.zeros((len(numbers), 4, 4, 3), np.uint8)

    item = LabelledVideo(Path("five.mp4"), 0, Frames())
    with collecting() as notes:
        video_clips.read_frames(item, FrameSampling(kind, 5, 1).validation)
        assert notes == []
        video_clips.read_frames(item, FrameSampling(kind, 6, 1).validation)
    assert notes == [("a video of fewer frames than a clip", "five.mp4", "5 of 6")]
