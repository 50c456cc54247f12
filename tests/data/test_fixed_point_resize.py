"""OpenCV's bilinear pictures; its own are golden cases."""

import numpy as np

from jaxvision.data.fixed_point_resize import opencv_resize
from jaxvision.data.resize import resize_uint8


def test_within_a_level_of_exact_weights():
    frames = np.random.default_rng(0).integers(0, 256, (2, 31, 45, 3), np.uint8)
    for size in ((20, 30), (31, 60), (64, 45), (64, 90)):
        apart = opencv_resize(frames, size).astype(int) - resize_uint8(frames, size)
        assert np.abs(apart).max() == 1
        assert 0 < np.mean(apart != 0) < 0.2


def test_edges_repeat_and_even_pictures_stay():
    even = np.full((1, 5, 7, 3), 201, np.uint8)
    np.testing.assert_array_equal(opencv_resize(even, (9, 3)), np.full((1, 9, 3, 3), 201))
    assert opencv_resize(even, (5, 7)) is even
