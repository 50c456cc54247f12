"""Planning metrics by hand; the published values are golden cases."""

import numpy as np
import pytest

from jaxvision.metrics import procedure_planning as metrics


def test_by_hand():
    truth = np.array([[1, 2, 3], [4, 4, 5]])
    plans = np.array([[1, 2, 3], [4, 5, 4]])
    found = metrics.planning_metrics(plans, truth)
    assert found["SR"] == 50
    assert found["mAcc"] == pytest.approx(100 * 4 / 6)
    # Sets forget order and repeats.
    assert found["mIoU"] == 100
    assert (found["first_action"], found["last_action"]) == (100, 50)


def test_codes_tell_plans_apart_where_integers_would_overflow():
    draw = np.random.default_rng(0)
    plans = draw.integers(0, 5000, (400, 9))
    plans = np.concatenate([plans, plans[:100]])
    codes = metrics.plan_codes(plans, 5000)
    same = (plans[:, None] == plans[None]).all(-1)
    np.testing.assert_array_equal(codes[:, None] == codes[None], same)


def test_references_share_first_and_last_action():
    truth = np.array([[0, 1, 2], [0, 3, 2], [0, 1, 2], [1, 1, 2]])
    samples = np.broadcast_to(np.array([[0, 1, 2], [0, 0, 2]]), (4, 2, 3))
    found = metrics.uncertainty(truth, samples, 4)
    np.testing.assert_allclose(found["mode_precision"], [0.5, 0.5, 0.5, 0])
    np.testing.assert_allclose(found["mode_recall"], [2 / 3, 2 / 3, 2 / 3, 0])
    np.testing.assert_array_equal(found["distinct_references"], [2, 2, 2, 1])
    assert (found["kl"] >= 0).all()
