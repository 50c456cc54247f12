"""Sampling, warping and resizing against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.ops.image_sampling import grid_sample, resize_bilinear, warp

RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 6, 7, 3)).astype(np.float32)


def loop_sample(image, x, y, padding):
    height, width, channels = image.shape
    out = np.zeros((*x.shape, channels))
    for place in np.ndindex(*x.shape):
        u, v = float(x[place]), float(y[place])
        if padding == "border":
            u, v = min(max(u, 0), width - 1), min(max(v, 0), height - 1)
        left, top = int(np.floor(u)), int(np.floor(v))
        for row in (top, top + 1):
            for column in (left, left + 1):
                if 0 <= row < height and 0 <= column < width:
                    weight = (1 - abs(v - row)) * (1 - abs(u - column))
                    out[place] += weight * image[row, column]
    return out


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_grid_sample(padding):
    x = RNG.uniform(-3, 9, (2, 4, 5)).astype(np.float32)
    y = RNG.uniform(-3, 8, (2, 4, 5)).astype(np.float32)
    x[0, 0], y[0, 0] = 3, 2  # whole pixels
    got = jax.jit(grid_sample, static_argnums=3)(IMAGE, x, y, padding)
    want = [loop_sample(IMAGE[b], x[b], y[b], padding) for b in range(2)]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_border_passes_no_gradient_to_clamped_coordinates():
    x = jnp.array([[-2.0, 0.0, 2.5, 6.0, 9.0]])
    y = jnp.full((1, 5), 2.25)
    grad = jax.grad(lambda x: jnp.sum(grid_sample(jnp.asarray(IMAGE[:1]), x, y)))(x)
    slope = (IMAGE[0, 2, 3] - IMAGE[0, 2, 2]) * 0.75 + (IMAGE[0, 3, 3] - IMAGE[0, 3, 2]) * 0.25
    np.testing.assert_allclose(grad, [[0, 0, slope.sum(), 0, 0]], atol=1e-5)


def test_sampling_keeps_the_dtype_and_far_coordinates():
    wide = jnp.arange(4096, dtype=jnp.bfloat16)[None, None, :, None]
    got = grid_sample(wide, jnp.array([[4000.0, 4004.0]]), jnp.zeros((1, 2)))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_array_equal(got[0, :, 0], wide[0, 0, jnp.array([4000, 4004]), 0])


def test_warp_reads_where_the_flow_points():
    flow = np.zeros((2, 6, 7, 2), np.float32)
    flow[..., 0], flow[..., 1] = 2, -1
    got = warp(jnp.asarray(IMAGE), jnp.asarray(flow))
    np.testing.assert_allclose(got[:, 1:, :5], IMAGE[:, :-1, 2:], atol=1e-6)
    np.testing.assert_allclose(got[:, 0, :5], IMAGE[:, 0, 2:], atol=1e-6)


def test_warp_of_a_part_is_that_part_of_the_warp():
    flow = RNG.uniform(-4, 4, (2, 6, 7, 2)).astype(np.float32)
    whole = warp(jnp.asarray(IMAGE), jnp.asarray(flow))
    part = jax.jit(warp, static_argnums=2)(IMAGE, flow[:, 2:5, 3:7], "border", 2, 3)
    np.testing.assert_allclose(part, whole[:, 2:5, 3:7], atol=1e-6)


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4])
def test_resize(factor):
    image = RNG.random((1, 8, 12, 2)).astype(np.float32)
    size = int(8 * factor), int(12 * factor)
    y = (np.arange(size[0]) + 0.5) * 8 / size[0] - 0.5
    x = (np.arange(size[1]) + 0.5) * 12 / size[1] - 0.5
    want = loop_sample(image[0], *np.meshgrid(x, y), "border")
    got = jax.jit(resize_bilinear, static_argnums=1)(image, factor)
    np.testing.assert_allclose(got[0], want, atol=1e-5)
