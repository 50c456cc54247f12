"""The shared convolution against the sum it stands for."""

import jax
import numpy as np
import pytest

from jaxvision.nn.convolution import Conv, PReLU

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 9, 8, 3)).astype(np.float32)


def by_hand(x, kernel, bias, stride, dilation):
    window = kernel.shape[0]
    pad = dilation * (window // 2)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    reach = dilation * (window - 1)
    rows = range(0, padded.shape[1] - reach, stride)
    columns = range(0, padded.shape[2] - reach, stride)
    y = np.zeros((len(x), len(rows), len(columns), kernel.shape[3]), np.float32)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            seen = padded[:, top : top + reach + 1 : dilation, left : left + reach + 1 : dilation]
            y[:, i, j] = np.einsum("bhwc,hwcd->bd", seen, kernel)
    return y + bias


@pytest.mark.parametrize(
    ("window", "stride", "dilation", "use_bias"),
    [(3, 1, 1, True), (1, 1, 1, False), (3, 2, 1, True), (3, 4, 2, False), (7, 2, 1, True)],
)
def test_a_convolution_is_the_sum_over_its_window(window, stride, dilation, use_bias):
    kernel = RNG.normal(size=(window, window, 3, 5)).astype(np.float32)
    bias = RNG.normal(size=5).astype(np.float32) if use_bias else np.zeros(5, np.float32)
    params = {"kernel": kernel} | ({"bias": bias} if use_bias else {})
    conv = Conv(5, window, stride, dilation, use_bias)
    got = jax.jit(conv.apply)({"params": params}, X)
    np.testing.assert_allclose(got, by_hand(X, kernel, bias, stride, dilation), atol=1e-4)


def test_prelu_has_a_slope_per_channel():
    slope = np.array([0.0, 0.25, 2.0], np.float32)
    got = PReLU().apply({"params": {"slope": slope}}, X)
    np.testing.assert_allclose(got, np.where(X > 0, X, X * slope))


def test_a_looped_convolution_and_its_gradients_are_those_of_any_other():
    dy = RNG.normal(size=(2, 9, 8, 5)).astype(np.float32)
    kernel = RNG.normal(size=(1, 5, 3, 5)).astype(np.float32)

    def outcome(x, kernel, looped):
        conv = Conv(5, (1, 5), use_bias=False, looped=looped)
        y = conv.apply({"params": {"kernel": kernel}}, x)
        return (y * dy).sum(), y

    run = jax.jit(jax.grad(outcome, (0, 1), has_aux=True), static_argnums=2)
    expected, got = run(X, kernel, False), run(X, kernel, True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), expected, got)
