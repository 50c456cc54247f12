"""Tubes and their metrics by hand; the published program's values are golden cases."""

import numpy as np
import pytest

from jaxvision.metrics import action_tubes
from jaxvision.metrics.tube_linking import Linking, Tube, link_tubes, suppress_softly

BOX = (10.0, 10.0, 19.0, 19.0)  # 100 pixels
HALF = (10.0, 10.0, 19.0, 14.0)
FAR = (50.0, 50.0, 59.0, 59.0)


def rows(box, first: int, last: int) -> np.ndarray:
    return np.array([(frame, *box) for frame in range(first, last + 1)], np.float32)


def tube(box, first: int, last: int, score: float = 1.0) -> Tube:
    with_score = np.concatenate([rows(box, first, last), np.full((last - first + 1, 1), score)], 1)
    return Tube(with_score, score)


def test_suppression_lowers_and_later_equals_are_better():
    boxes = np.array([[BOX], [BOX], [FAR]])
    np.testing.assert_allclose(
        suppress_softly(boxes, np.array([0.5, 0.5, 0.4]), 0.6), [0, 0.5, 0.4]
    )
    # Half an overlap is under 0.6.
    boxes = np.array([[BOX], [HALF]])
    np.testing.assert_allclose(suppress_softly(boxes, np.array([0.5, 0.4]), 0.6), [0.5, 0.4])
    np.testing.assert_allclose(suppress_softly(boxes, np.array([0.5, 0.4]), 0.4), [0.5, 0.2])


def test_overlap_of_tubes():
    assert action_tubes.tube_iou(rows(BOX, 1, 10), rows(BOX, 1, 10)) == 1
    assert action_tubes.tube_iou(rows(BOX, 1, 10), rows(HALF, 1, 10)) == pytest.approx(0.5)
    assert action_tubes.tube_iou(rows(BOX, 1, 10), rows(BOX, 6, 15)) == pytest.approx(1 / 3)
    assert action_tubes.tube_iou(rows(BOX, 1, 10), rows(BOX, 11, 15)) == 0


def linked(starts, boxes, scores, frames=20, **settings) -> list[Tube]:
    return link_tubes(
        np.array(starts),
        np.array(boxes, np.float32),
        np.array(scores, np.float32),
        frames,
        Linking(**settings),
    )


def test_linking_joins_what_overlaps_and_drops_short_tubes():
    starts = [*range(1, 21), 3]
    (found,) = linked(starts, [[BOX]] * 20 + [[FAR]], [0.5] * 20 + [0.9])
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(1, 21))
    np.testing.assert_array_equal(found.rows[:, 1:5], [BOX] * 20)
    assert found.score == pytest.approx(0.5)
    assert len(linked(starts, [[BOX]] * 20 + [[FAR]], [0.5] * 20 + [0.9], length=1)) == 2


def test_tubelets_of_several_frames_bridge_gaps_and_average():
    starts = [1, 3, 5]
    moved = (12.0, 10.0, 21.0, 19.0)
    boxes = [[BOX] * 4, [BOX, BOX, moved, moved], [moved] * 4]
    (found,) = linked(starts, boxes, [0.2, 0.4, 0.6], frames=8, length=8)
    assert found.score == pytest.approx(0.4)
    np.testing.assert_allclose(found.rows[:, 1], [10, 10, 10, 10, 12, 12, 12, 12])
    np.testing.assert_allclose(found.rows[:, 5], [0.2, 0.2, 0.3, 0.3, 0.5, 0.5, 0.6, 0.6])


def test_a_taken_truth_gives_way_to_the_second():
    truth = [{0: [rows(BOX, 1, 1), rows(HALF, 1, 1)]}]
    two = np.array([BOX, BOX], np.float32)
    found = action_tubes.FrameDetections(
        np.zeros(2, int), np.ones(2, int), np.zeros(2, int), np.array([0.9, 0.8]), two
    )
    np.testing.assert_allclose(
        action_tubes.frame_average_precision(truth, found, 2, 0.5), [1, 0], rtol=1e-6
    )
    np.testing.assert_allclose(
        action_tubes.frame_average_precision(truth, found, 2, 0.75), [0.5, 0], rtol=1e-6
    )


def test_video_average_precision_drops_doubles():
    truth = [{0: [rows(BOX, 1, 10)]}, {0: [rows(BOX, 1, 10)]}]
    found = [{0: [tube(BOX, 1, 10, 0.9), tube(BOX, 1, 9, 0.8)]}, {0: [tube(FAR, 1, 10, 0.7)]}]
    # One true tube of two, then a wrong one: no area beyond recall 1/2.
    np.testing.assert_allclose(
        action_tubes.video_average_precision(truth, found, 1, 0.5), [0.5], rtol=1e-6
    )


def test_nothing_found():
    nothing = action_tubes.Tubelets(
        *(np.zeros(0, int),) * 3, np.zeros((0, 2, 4), np.float32), np.zeros(0, np.float32)
    )
    found = action_tubes.frame_detections(nothing)
    truth = [{0: [rows(BOX, 1, 3)]}]
    assert action_tubes.frame_average_precision(truth, found, 1, 0.5).tolist() == [0]
    tubes = action_tubes.tubes_of_video(nothing, 0, 1, 3)
    assert action_tubes.video_average_precision(truth, [tubes], 1, 0.5).tolist() == [0]
