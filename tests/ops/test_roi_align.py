"""RoIAlign as two matrices against a loop over samples, written from torchvision's rule."""

import functools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.ops.roi_align import roi_align

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(0, 1, (2, 6, 9, 2)).astype(np.float32)
BINS = (3, 2)


def sample(cells, y, x):
    height, width = cells.shape[:2]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(cells.shape[2])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    down, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = (1 - (x - left)) * cells[top, left] + (x - left) * cells[top, right]
    lower = (1 - (x - left)) * cells[down, left] + (x - left) * cells[down, right]
    return (1 - (y - top)) * upper + (y - top) * lower


def by_loop(cells, box, scale, samples, aligned):
    x1, y1, x2, y2 = np.asarray(box, np.float64) * scale - (0.5 if aligned else 0)
    sides = np.array([y2 - y1, x2 - x1])
    if not aligned:
        sides = np.maximum(sides, 1)
    size = sides / BINS
    grid = [samples or math.ceil(s) for s in np.float32(size)]
    out = np.zeros((*BINS, cells.shape[2]))
    for p, q in np.ndindex(*BINS):
        for i, j in np.ndindex(*grid):
            y = y1 + (p + (i + 0.5) / grid[0]) * size[0]
            x = x1 + (q + (j + 0.5) / grid[1]) * size[1]
            out[p, q] += sample(cells, y, x) / (grid[0] * grid[1])
    return out


@functools.cache
def pooling(samples, aligned):
    return jax.jit(
        lambda features, boxes: roi_align(features, boxes, BINS, 0.25, samples, aligned=aligned)
    )


@pytest.mark.parametrize("samples", [None, 2])
@pytest.mark.parametrize("aligned", [False, True])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_equals_a_loop_over_samples(samples, aligned, seed):
    rng = np.random.default_rng(seed)
    first = rng.uniform(-20, 40, (2, 3, 2))
    boxes = np.concatenate([first, first + rng.uniform(0.5, 60, (2, 3, 2))], axis=-1)
    boxes = boxes.astype(np.float32)
    got = pooling(samples, aligned)(FEATURES, boxes)
    want = [
        [by_loop(FEATURES[b], box, 0.25, samples, aligned) for box in boxes[b]] for b in range(2)
    ]
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_boxes_without_extent():
    point = np.full((2, 1, 4), 8, np.float32)  # cell 2
    aligned = pooling(None, True)(FEATURES, point)
    np.testing.assert_array_equal(aligned, 0)  # no sample at all, as published
    cell = pooling(None, False)(FEATURES, point)  # a cell's side at least
    want = by_loop(FEATURES[0], point[0, 0], 0.25, None, False)
    np.testing.assert_allclose(cell[0, 0], want, atol=1e-5)


def test_no_gradient_by_boxes():
    boxes = np.array([[[2, 3, 20, 17]], [[0, 0, 30, 20]]], np.float32)
    by_features, by_boxes = jax.grad(lambda f, b: pooling(None, False)(f, b).sum(), argnums=(0, 1))(
        FEATURES, boxes
    )
    np.testing.assert_array_equal(by_boxes, 0)
    # Every bin is a mean of cells: its weights sum to 1 where no sample leaves the map.
    np.testing.assert_allclose(by_features.sum(), 2 * 2 * np.prod(BINS), rtol=1e-5)
