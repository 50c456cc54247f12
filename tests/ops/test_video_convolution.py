"""Convolutions and pooling of clips, however rewritten, against the plain 3D forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.ops.video_convolution import FOLDED_CHANNELS, max_pool, video_convolution

RNG = np.random.default_rng(0)
# (window, channels, stride, dilation); wide ones have more channels in all taps than are folded.
CASES = {
    "point": ((1, 1, 1), 4, (1, 2), 1),
    "frames": ((3, 1, 1), 4, (1, 1), 1),
    "frames, wide": ((3, 1, 1), FOLDED_CHANNELS // 2, (1, 2), 1),
    "fusion": ((5, 1, 1), 4, (4, 1), 1),
    "dilated": ((1, 3, 3), 4, (1, 2), 2),
    "stem": ((5, 7, 7), 3, (1, 2), 1),
    "cube, wide": ((3, 3, 3), FOLDED_CHANNELS // 2, (2, 1), 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_a_3d_convolution_forward_and_back(case):
    window, channels, (frames, pixels), dilation = case
    x = RNG.standard_normal((2, 8, 6, 7, channels)).astype(np.float32)
    kernel = RNG.standard_normal((*window, channels, 5)).astype(np.float32) / 10

    def plain(x, kernel):
        sides = (window[0] // 2, *(dilation * (side // 2) for side in window[1:]))
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (frames, pixels, pixels),
            [(side, side) for side in sides],
            rhs_dilation=(1, dilation, dilation),
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )

    def ours(x, kernel):
        return video_convolution(x, kernel, (frames, pixels), dilation)

    @jax.jit
    def both(x, kernel):
        found = []
        for function in (plain, ours):
            value, pull = jax.vjp(function, x, kernel)
            found.append((value, *pull(jnp.sin(value))))
        return found

    for want, got in zip(*both(x, kernel), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [((1, 3, 3), (1, 2, 2), 0), ((1, 3, 3), (1, 2, 2), 1), ((2, 2, 2), (2, 2, 2), 0)],
)
def test_pool_equals_flaxs_forward_and_back(window, stride, padding):
    x = RNG.standard_normal((2, 5, 8, 9, 3)).astype(np.float32)  # a frame and a column too many
    sides = [(0, 0), *((padding, padding),) * 2]

    @jax.jit
    def both(x):
        found = []
        for pool in (
            lambda x: nn.max_pool(x, window, stride, sides),
            lambda x: max_pool(x, window, stride, padding),
        ):
            value, pull = jax.vjp(pool, x)
            found.append((value, *pull(jnp.cos(value))))
        return found

    for want, got in zip(*both(x), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_map_smaller_than_its_window_is_refused():
    with pytest.raises(InputError, match=r"maps \(4, 1, 1\): too small for windows of \(1, 2, 2\)"):
        max_pool(jnp.zeros((1, 4, 1, 1, 3)), (1, 2, 2), (1, 2, 2))
