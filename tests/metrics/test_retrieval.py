"""Recalls on scores small enough to count by eye."""

import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.metrics.retrieval import best_ranks, recalls, retrieval_recalls

SCORES = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.8]])


def test_the_best_placed_truth_counts():
    np.testing.assert_array_equal(best_ranks(SCORES, [1, [0, 1]]), [2, 1])
    np.testing.assert_array_equal(best_ranks(SCORES, [[1, 2], [2]]), [1, 0])


def test_of_equal_scores_the_later_comes_first():
    np.testing.assert_array_equal(best_ranks(np.zeros((2, 3)), [2, 0]), [0, 2])


def test_recalls_are_percentages():
    assert recalls(np.array([0, 4, 5, 20])) == {1: 25.0, 5: 50.0, 10: 75.0}


def test_both_directions_and_their_means():
    metrics = retrieval_recalls(SCORES, SCORES.T, [0, [1, 2]], [0, 1, 0])
    assert metrics["txt_r1"] == 100.0
    assert metrics["img_r1"] == 66.67
    assert metrics["img_r_mean"] == round((200 / 3 + 200) / 3, 2)
    assert metrics["r_mean"] == round((100 + (200 / 3 + 200) / 3) / 2, 2)


@pytest.mark.parametrize("truths", [[0], [0, []], [0, 3], [-1, 0]])
def test_truths_that_are_none(truths):
    with pytest.raises(InputError, match="true candidates"):
        best_ranks(SCORES, truths)
