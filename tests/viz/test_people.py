"""People drawn on frames."""

import numpy as np
import pytest

from jaxvision.viz.people import COLOURS, TRUTH, SeenPerson, best_actions, draw_clip, draw_people

FRAME = np.full((60, 80, 3), 40, np.uint8)


def test_a_box_is_drawn_where_it_is_and_the_frame_stays():
    seen = draw_people(FRAME, [SeenPerson(np.array([10, 20, 50, 45.0]), [])])
    changed = np.argwhere((seen != FRAME).any(-1))
    np.testing.assert_array_equal(changed.min(0), [20, 10])
    np.testing.assert_array_equal(changed.max(0), [45, 50])
    np.testing.assert_array_equal(seen[20, 30], COLOURS[0])
    assert (FRAME == 40).all()


@pytest.mark.parametrize(
    "box", [[-50, -9, 500, 300], [90, 70, 95, 75], [30, 30, 10, 10], [np.nan] * 4]
)
def test_boxes_beyond_the_frame(box):
    seen = draw_people(FRAME, [SeenPerson(np.array(box, float), ["walk 0.90"], truth=True)])
    assert seen.shape == FRAME.shape
    assert (seen == TRUTH).all(-1).any()


def test_lines_lie_over_later_boxes():
    box, later = np.array([5, 5, 60, 50.0]), SeenPerson(np.array([8, 8, 70, 55.0]), [])
    bare, first, both = (
        draw_people(FRAME, people)
        for people in (
            [SeenPerson(box, [])],
            [SeenPerson(box, ["walk 0.90"])],
            [SeenPerson(box, ["walk 0.90"]), later],
        )
    )
    written = (first != bare).any(-1)
    assert written.sum() > 100
    np.testing.assert_array_equal(both[written], first[written])


def test_best_actions():
    scores = np.array([0.2, 0.9, 0.6, 0.7])
    assert best_actions(scores, list("abcd"), 0.5, 2) == ["b 0.90", "d 0.70"]
    assert best_actions(scores, list("abcd"), 0.95) == []


def test_clips_frame_by_frame():
    person = SeenPerson(np.array([10, 20, 50, 45.0]), [])
    film = draw_clip(np.stack([FRAME, FRAME]), [[], [person]])
    np.testing.assert_array_equal(film[0], FRAME)
    np.testing.assert_array_equal(film[1], draw_people(FRAME, [person]))
