"""Hue, saturation and value in 8 bits; OpenCV's pictures are golden cases."""

import colorsys

import numpy as np

from jaxvision.data.augment.hsv import hsv_to_rgb, rgb_to_hsv, shift_hsv


def some_pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)


def test_close_to_the_exact_values():
    pixels = some_pixels()
    found = rgb_to_hsv(pixels).reshape(-1, 3).astype(float)
    exact = np.array([colorsys.rgb_to_hsv(*(p / 255)) for p in pixels.reshape(-1, 3)])
    exact *= (180, 255, 255)
    apart = np.abs(found - exact)
    apart[:, 0] = np.minimum(apart[:, 0], 180 - apart[:, 0])
    assert apart.max() < 0.6  # the tables round too


def test_there_and_back_is_close():
    pixels = some_pixels()
    back = hsv_to_rgb(rgb_to_hsv(pixels)).astype(int)
    assert np.abs(back - pixels).max() <= 5


def test_greys_have_no_hue_to_turn():
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 16, 16, 3)
    for value in (0, 20):
        found = shift_hsv(greys, 40, 0, value).astype(int)
        lost = np.minimum(greys.astype(int) + value, 255) - found
        assert set(np.unique(lost)) <= {0, 1}  # what cutting may cost
        np.testing.assert_array_equal(found[..., :1], found[..., 1:2])


def test_hues_turn_around_the_circle():
    red = np.array([[[[255, 0, 0]]]], np.uint8)
    np.testing.assert_array_equal(shift_hsv(red, 60, 0, 0), [[[[0, 255, 0]]]])
    np.testing.assert_array_equal(shift_hsv(red, -60, 0, 0), [[[[0, 0, 255]]]])
    assert abs(int(rgb_to_hsv(shift_hsv(red, -7, 0, 0))[0, 0, 0, 0]) - 173) <= 1
