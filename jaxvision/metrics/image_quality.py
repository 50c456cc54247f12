"""How close an image is to the true one: PSNR, SSIM, interpolation error.

Host code in float64 on single images [height, width, channels]. Benchmarks of one task disagree on
the definitions; each function says whose it is. A benchmark's number is the mean over its images.
"""

import math

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from scipy import ndimage
from skimage.metrics import structural_similarity

Image = Float[np.ndarray, "h w c"]


def psnr(
    prediction: Shaped[np.ndarray, "..."], truth: Shaped[np.ndarray, "..."], peak: float = 1.0
):
    """Peak signal-to-noise ratio in dB over all elements; infinite for equal images."""
    error = np.mean(np.square(np.asarray(prediction, np.float64) - np.asarray(truth, np.float64)))
    return math.inf if error == 0 else float(10 * np.log10(peak**2 / error))


def round_to_8_bits(image: Image) -> Image:
    """[0, 1] in steps of 1/255, halves to even: what a stored picture keeps."""
    return np.round(np.asarray(image, np.float64) * 255) / 255


def _value_range(image: Image) -> float:
    """The range of values that MATLAB-style SSIM guesses from the data."""
    top = 255.0 if image.max() > 128 else 1.0
    bottom = -1.0 if image.min() < -0.5 else 0.0
    return top - bottom


def _gaussian(window: int, sigma: float) -> np.ndarray:
    offsets = np.arange(window) - window // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()


def ssim_volume(prediction: Image, truth: Image, window: int = 11, sigma: float = 1.5) -> float:
    """Structural similarity with the image as a volume (frame interpolation's `ssim_matlab`).

    A `window`^3 Gaussian over height, width and channels, edges replicated on all three axes;
    C1 = (0.01 L)^2, C2 = (0.03 L)^2; mean of the map. The range L is guessed from the prediction.
    """
    a, b = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    kernel, span = _gaussian(window, sigma), _value_range(a)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2

    def blur(x: np.ndarray) -> np.ndarray:
        for axis in range(3):
            x = ndimage.correlate1d(x, kernel, axis=axis, mode="nearest")
        return x

    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))))


def ssim_uniform(
    prediction: UInt8[np.ndarray, "h w c"], truth: UInt8[np.ndarray, "h w c"], window: int = 7
) -> float:
    """Structural similarity of each channel with a uniform window (scikit-image's default).

    Sample covariance (n - 1), borders of window // 2 cut, mean over pixels and channels.
    """
    return float(structural_similarity(truth, prediction, win_size=window, channel_axis=-1))


def luma(rgb: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Y of BT.601 full range, 0 to 255."""
    return np.asarray(rgb, np.float64) @ np.array([0.299, 0.587, 0.114])


def luma_psnr(prediction: UInt8[np.ndarray, "h w 3"], truth: UInt8[np.ndarray, "h w 3"]) -> float:
    """PSNR of Y between 8-bit RGB images, peak 255 (the HD benchmark)."""
    return psnr(luma(prediction), luma(truth), 255.0)


def interpolation_error(prediction: Image, truth: UInt8[np.ndarray, "h w c"]) -> float:
    """Mean absolute difference on 0..255 of the rounded prediction in [0, 1] (Middlebury's IE)."""
    rounded = np.round(np.asarray(prediction, np.float64) * 255)
    return float(np.mean(np.abs(rounded - np.asarray(truth, np.float64))))
