"""Box forms and overlaps against plain loops, and at degenerate boxes."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.ops import boxes as box_ops

MEASURES = ("iou", "share_inside", "giou")
SCALED = (box_ops.to_scale_and_ratio, box_ops.from_scale_and_ratio)
CENTRED = (box_ops.to_centre_and_sides, box_ops.from_centre_and_sides)


@jax.jit
def measured(a, b):
    pairs = {name: box_ops.every_pair(getattr(box_ops, name), a, b) for name in MEASURES}
    there_and_back = [back(there(a)) for there, back in (SCALED, CENTRED)]
    return pairs, there_and_back


@jax.jit
def slopes(a, b):
    def total(a, b):
        return {name: jnp.sum(getattr(box_ops, name)(a, b)) for name in MEASURES}

    return jax.jacrev(total, (0, 1))(a, b)


def by_counting(a, b):
    """(shared, covered by either, in the smallest box around both) of boxes on whole pixels."""
    grids = np.zeros((3, 24, 24), bool)
    around = *np.minimum(a[:2], b[:2]), *np.maximum(a[2:], b[2:])
    for grid, (x1, y1, x2, y2) in zip(grids, (a, b, around), strict=True):
        grid[y1:y2, x1:x2] = True
    return (grids[0] & grids[1]).sum(), (grids[0] | grids[1]).sum(), grids[2].sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_overlaps_count_pixels(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 12, (2, 4, 2))
    boxes = np.concatenate([first, first + rng.integers(1, 12, (2, 4, 2))], axis=-1)
    a, b = boxes
    got, there_and_back = measured(a.astype(np.float32), b.astype(np.float32))
    for place in np.ndindex(4, 4):
        shared, covered, around = by_counting(a[place[0]], b[place[1]])
        own = np.prod(a[place[0]][2:] - a[place[0]][:2])
        np.testing.assert_allclose(got["iou"][place], shared / covered, atol=1e-5)
        np.testing.assert_allclose(got["share_inside"][place], shared / own, atol=1e-5)
        giou = shared / covered - (around - covered) / around
        np.testing.assert_allclose(got["giou"][place], giou, atol=1e-5)
    for back in there_and_back:
        np.testing.assert_allclose(back, a, atol=1e-4)


def test_degenerate_boxes_have_finite_values_and_slopes():
    point, inverted = [5, 5, 5, 5], [9, 9, 2, 2]
    a = jnp.array([point, point, inverted, [0, 0, 4, 0]], jnp.float32)
    b = jnp.array([point, [0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 4, 0]], jnp.float32)
    values, _ = measured(a, b)
    for name, value in (values | slopes(a, b)).items():
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(value)), name
    np.testing.assert_array_equal(np.diag(values["iou"]), 0)


def test_refinement_moves_by_the_scale_and_clipping_stays_on_pixels():
    box = jnp.array([10.0, 20.0, 3.0, 1.0])
    moved = box_ops.moved_by_scale(box, jnp.array([1.0, -0.5, 0.25, 2.0]))
    np.testing.assert_allclose(moved, [18, 16, 3.25, 3])
    size = jnp.array([8.0, 6.0])
    np.testing.assert_array_equal(box_ops.clipped(jnp.array([-3.0, 2, 9, 6]), size), [0, 2, 7, 5])
