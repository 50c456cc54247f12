import jax
import numpy as np
import pytest

from jaxvision.data.crops import Box
from jaxvision.data.resize import resize, resized_crop, resized_crop_uint8

BOX = Box(3, 2, 20, 24)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 27, 31, 3), np.uint8)


@pytest.mark.parametrize("size", [(40, 44), (130, 9), (9, 50), (27, 12), (27, 31)])
def test_is_the_half_pixel_bilinear(frames, size):
    expected = jax.image.resize(frames.astype(np.float32), (2, *size, 3), "linear", antialias=False)
    found = resize(frames, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(16, 16), (20, 24), (33, 24)])
def test_a_crop_is_rounded_and_mirrored(frames, size):
    exact = resized_crop(frames, BOX, size)
    np.testing.assert_array_equal(exact, resize(frames[:, 3:23, 2:26], size))
    plain = resized_crop_uint8(frames, BOX, size, mirrored=False)
    np.testing.assert_array_equal(plain, np.rint(exact).astype(np.uint8))
    mirrored = resized_crop_uint8(frames, BOX, size, mirrored=True)
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
