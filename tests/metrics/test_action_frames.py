"""AVA's metric by hand; the official program's values are golden cases."""

import numpy as np
import pytest

from jaxvision.metrics.action_frames import (
    FrameBoxes,
    Rules,
    average_precisions,
    mean_average_precision,
    never_met,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)


def boxes(*rows) -> FrameBoxes:
    """Rows of (frame, box, label, score)."""
    frame, box, label, score = zip(*rows, strict=True) if rows else ((), (), (), ())
    return FrameBoxes(
        np.array(frame, int), np.array(box, float).reshape(-1, 4), np.array(label), np.array(score)
    )


def test_a_second_detection_of_a_person_is_wrong():
    truth = boxes((0, WHOLE, 1, 1), (1, WHOLE, 1, 1))
    found = boxes((0, WHOLE, 1, 0.9), (0, WHOLE, 1, 0.8), (1, WHOLE, 1, 0.7))
    # Precision 1 at recall 1/2, then 2/3 at recall 1.
    np.testing.assert_allclose(average_precisions(truth, found, [1]), [1 / 2 + 1 / 3])


def test_no_second_choice():
    left, right = (0.0, 0.0, 0.5, 1.0), (0.1, 0.0, 0.6, 1.0)
    truth = boxes((0, left, 1, 1), (0, right, 1, 1))
    found = boxes((0, left, 1, 0.9), (0, left, 1, 0.8))
    np.testing.assert_allclose(average_precisions(truth, found, [1]), [0.5])


def test_half_is_enough_and_classes_without_truth_are_unknown():
    truth = boxes((0, WHOLE, 1, 1), (0, WHOLE, 2, 1))
    found = boxes((0, (0.0, 0.0, 0.5, 1.0), 1, 0.5), (0, WHOLE, 3, 0.5))
    precisions = average_precisions(truth, found, [1, 2, 3])
    np.testing.assert_array_equal(precisions, [1, 0, np.nan])
    assert mean_average_precision(precisions) == 0.5
    assert np.isnan(mean_average_precision(precisions[2:]))


def test_seconds_that_the_truth_does_not_mention():
    truth = boxes((0, WHOLE, 1, 1))
    found = boxes((1, WHOLE, 1, 0.9), (2, WHOLE, 1, 0.8), (0, WHOLE, 1, 0.7))
    for rules, known, expected in (
        (Rules(), {0}, 1 / 3),
        (Rules(unmentioned="ignored"), {0}, 1),
        (Rules(unmentioned="ignored"), {0, 1}, 1 / 2),
    ):
        got = average_precisions(truth, found, [1], rules=rules, mentioned=known)
        np.testing.assert_allclose(got, [expected])
    got = average_precisions(truth, found, [1], excluded={1, 2})
    np.testing.assert_allclose(got, [1])
    assert np.isnan(average_precisions(truth, found, [1], excluded={0})[0])


def test_capacity_counts_all_classes_of_a_key_frame():
    truth = boxes((0, WHOLE, 1, 1), (1, WHOLE, 1, 1))
    found = boxes((0, WHOLE, 2, 0.9), (0, WHOLE, 1, 0.8), (1, WHOLE, 1, 0.1))
    got = average_precisions(truth, found, [1, 2], rules=Rules(capacity=1))
    np.testing.assert_array_equal(got, [0.5, np.nan])


def test_degenerate_detections_are_left_out():
    truth = boxes((0, WHOLE, 1, 1))
    found = boxes((0, (0.5, 0.5, 0.5, 0.9), 1, 0.9), (0, WHOLE, 1, 0.5))
    np.testing.assert_array_equal(average_precisions(truth, found, [1]), [1])


def test_what_never_met_is_told():
    truth = boxes((0, WHOLE, 1, 1), (1, WHOLE, 2, 1))
    found = boxes((0, WHOLE, 1, 0.9), (7, WHOLE, 3, 0.9))
    assert never_met(truth, found, [1, 2, 3, 4]) == {
        "labels_without_truth": [3, 4],
        "labels_never_detected": [2],
        "frames_without_truth": [7],
        "frames_without_detections": [1],
    }


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_loop_over_detections(seed):
    draw = np.random.default_rng(seed)

    def some(rows):
        corner = draw.integers(0, 4, (rows, 2))
        box = np.concatenate([corner, corner + draw.integers(1, 4, (rows, 2))], axis=1) / 8
        return FrameBoxes(
            draw.integers(0, 6, rows), box, draw.integers(1, 3, rows), draw.permutation(rows) / rows
        )

    truth, found = some(30), some(80)
    expected = []
    for label in (1, 2):
        free = set(np.flatnonzero(truth.label == label).tolist())
        positives, hits = len(free), []
        for row in np.argsort(-found.score):
            if found.label[row] != label:
                continue
            rows = np.flatnonzero((truth.label == label) & (truth.frame == found.frame[row]))
            low = np.maximum(truth.box[rows, :2], found.box[row, :2])
            high = np.minimum(truth.box[rows, 2:], found.box[row, 2:])
            common = np.maximum(high - low, 0).prod(1)
            area = (found.box[row, 2:] - found.box[row, :2]).prod()
            union = (truth.box[rows, 2:] - truth.box[rows, :2]).prod(1) + area - common
            best = rows[np.argmax(common / union)] if len(rows) else None
            hits.append(best in free and np.max(common / union) >= 0.5)
            if hits[-1]:
                free.remove(best)
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        steps = [precision[n:].max() for n in np.flatnonzero(hits)]
        expected.append(sum(steps) / positives)
    np.testing.assert_allclose(average_precisions(truth, found, [1, 2]), expected, rtol=1e-12)
