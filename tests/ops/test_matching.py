"""Matching on the device against SciPy's, with padding, and where costs are no numbers."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from jaxvision.errors import InputError
from jaxvision.ops.matching import matched_predictions

match = jax.jit(matched_predictions)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 6), min_size=2, max_size=2))
def test_costs_as_little_as_scipys(seed, counts):
    rng = np.random.default_rng(seed)
    costs = rng.normal(0, 3, (2, 9, 6)).astype(np.float32)
    exists = np.arange(6) < np.array(counts)[:, None]
    rows = np.asarray(match(costs, exists))
    for cost, there, found in zip(costs, exists, rows, strict=True):
        assert len(set(found)) == 6  # padding takes what is left
        real = cost[:, there]
        want = real[linear_sum_assignment(real)].sum()
        np.testing.assert_allclose(cost[found[there], there].sum(), want, rtol=1e-5, atol=1e-5)


def test_costs_that_are_no_numbers_end_and_are_avoided():
    costs = np.zeros((2, 9, 6), np.float32)
    costs[0] = np.nan
    costs[1, :3] = np.inf
    rows = np.asarray(match(costs, np.ones((2, 6), bool)))
    assert len(set(rows[0])) == 6
    assert set(rows[1]) == {3, 4, 5, 6, 7, 8}


def test_more_targets_than_predictions_are_refused():
    with pytest.raises(InputError, match="3 targets for 2 predictions"):
        matched_predictions(np.zeros((1, 2, 3), np.float32), np.ones((1, 3), bool))
    assert matched_predictions(np.zeros((1, 2, 0), np.float32), np.ones((1, 0), bool)).shape == (
        1,
        0,
    )
