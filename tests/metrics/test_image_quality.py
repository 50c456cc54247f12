"""Image quality against scikit-image and by hand."""

import math

import numpy as np
import pytest
from skimage import color
from skimage.metrics import peak_signal_noise_ratio

from jaxvision.metrics import image_quality as quality

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 256, (20, 26, 3), dtype=np.uint8)
NOISY = np.clip(TRUTH + RNG.normal(0, 9, TRUTH.shape), 0, 255).astype(np.uint8)


def test_psnr():
    want = peak_signal_noise_ratio(TRUTH, NOISY, data_range=255)
    assert quality.psnr(NOISY, TRUTH, 255) == pytest.approx(want)
    assert quality.psnr(NOISY / 255, TRUTH / 255) == pytest.approx(want)
    assert quality.psnr(TRUTH, TRUTH) == math.inf
    # Differences of 8-bit images do not wrap around.
    assert quality.psnr(np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8), 1) == 0


def test_uniform_ssim_by_hand():
    a, b = (image[:7, :7, :1].astype(float) for image in (NOISY, TRUTH))  # one window
    c1, c2 = 2.55**2, 7.65**2
    covariance = np.cov(a.ravel(), b.ravel())
    luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
    want = luminance * (2 * covariance[0, 1] + c2) / (np.trace(covariance) + c2)
    got = quality.ssim_uniform(NOISY[:7, :7, :1], TRUTH[:7, :7, :1])
    assert got == pytest.approx(want, abs=1e-10)


def test_volume_ssim_of_equal_images_is_one_and_falls_with_noise():
    truth = TRUTH / 255
    assert quality.ssim_volume(truth, truth) == pytest.approx(1)
    slight, strong = (np.clip(truth + s * RNG.normal(size=truth.shape), 0, 1) for s in (0.02, 0.2))
    assert 1 > quality.ssim_volume(slight, truth) > quality.ssim_volume(strong, truth) > 0


def test_volume_ssim_by_hand():
    a, b = np.full((12, 12, 3), 0.3), np.full((12, 12, 3), 0.5)
    want = (2 * 0.15 + 1e-4) / (0.09 + 0.25 + 1e-4)
    assert quality.ssim_volume(a, b) == pytest.approx(want)


def test_luma_psnr():
    y = [255 * color.rgb2yuv(image)[..., 0] for image in (NOISY, TRUTH)]
    want = peak_signal_noise_ratio(y[1], y[0], data_range=255)
    assert quality.luma_psnr(NOISY, TRUTH) == pytest.approx(want, abs=1e-6)


def test_interpolation_error_rounds_first():
    truth = np.full((2, 2, 3), 100, np.uint8)
    assert quality.interpolation_error(np.full((2, 2, 3), 100.4 / 255), truth) == 0
    assert quality.interpolation_error(np.full((2, 2, 3), 97.6 / 255), truth) == 2
