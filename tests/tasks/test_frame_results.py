"""What an evaluation of key frames reports."""

import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.tasks.frame_results import frame_results


def test_classes_without_truth_are_left_out():
    found = frame_results(np.array([0.5, np.nan, 1.0]), (1, 3, 4), ("a", "b", "c", "d"), 2)
    assert found == {"map": 75, "ap_a": 50, "ap_d": 100}
    many = tuple(range(1, 26))
    found = frame_results(np.ones(25), many, tuple("abcdefghijklmnopqrstuvwxy"), 2)
    assert found == {"map": 100}


def test_an_evaluation_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"none of 2 key frames .* nothing to evaluate"):
        frame_results(np.array([np.nan]), (1,), ("a",), 2)
