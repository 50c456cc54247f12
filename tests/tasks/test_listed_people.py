"""Key frames of lists as moments of films: a grid of time, people in pixels, detected people."""

import json

import numpy as np
import pytest

from jaxvision.data.actions.key_frames import own_key_frames
from jaxvision.data.actions.own_lists import Moment
from jaxvision.errors import InputError
from jaxvision.tasks.listed_people import listed, nearest_moment
from jaxvision.viz.files import write_mp4


def moment(time, *boxes):
    actions = np.eye(2, dtype=np.uint8)[: len(boxes)]
    return Moment("a.mp4", time, ("ann", "bob")[: len(boxes)], np.array(boxes, float), actions)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    levels = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20
    write_mp4(folder / "a.mp4", np.broadcast_to(levels, (10, 32, 64, 3)).copy(), 5)
    empty = (0.25, 0.5, 0.25, 0.75)
    people = [(0.2, (0, 0, 0.5, 1), empty), (0.8, empty), (1.4, (0.5, 0, 1, 1), (0, 0, 1, 1))]
    return own_key_frames([moment(*each) for each in people], folder).items


def test_people_of_a_list_stand_on_a_grid_of_time(items):
    found = listed(items, every=0.2)
    assert found.moments() == [("a.mp4", 1), ("a.mp4", 7)], "0.8 s: its only box is empty"
    assert [found.name(n) for n in range(2)] == ["a.mp4 at 0.2", "a.mp4 at 1.4"]
    assert (found.dropped, found.sizes()) == (2, [(32, 64)] * 2)
    assert found.summary() == "2 key frames with people, 1 without; 2 boxes were empty"
    people = found[0].people
    np.testing.assert_array_equal(people.boxes, [[0, 0, 31, 31]])
    np.testing.assert_array_equal(people.actions, [[1, 0]])
    np.testing.assert_array_equal(found[1].people.boxes, [[32, 0, 63, 31], [0, 0, 63, 31]])
    np.testing.assert_allclose(found[1].frames(4, 1)[:, 0, 0, 0], [100, 120, 140, 160], atol=4)


@pytest.mark.parametrize("every", [0.1, 0.2, 1.0, 3.0])
def test_times_a_moment_apart_are_neighbours_even_between_two_moments(every):
    for first in (0.0, 0.5 * every):
        moments = [nearest_moment(first + n * every, every) for n in range(50)]
        np.testing.assert_array_equal(np.diff(moments), 1)


def test_two_key_frames_of_one_moment_are_refused(items):
    with pytest.raises(InputError, match=r"data\.every=2: key frames of a\.mp4 at 0\.2 and 0\.8"):
        listed(items, every=2.0)


def test_a_detectors_people_are_those_of_the_nth_key_frame(items, tmp_path):
    file = tmp_path / "boxes.json"
    boxes = [
        {"image_id": 2, "bbox": [8, 4, 16, 8], "score": 0.9},
        {"image_id": 2, "bbox": [0, 0, 16, 8], "score": 0.3},
        {"image_id": 0, "bbox": [0, 0, 16, 8], "score": 0.3},
    ]
    file.write_text(json.dumps(boxes))
    found = listed(items, 0.2, file, 0.5)
    assert found.moments() == [("a.mp4", 7)]
    np.testing.assert_array_equal(found[0].people.boxes, [[8, 4, 23, 11]])
    file.write_text(json.dumps([{**boxes[0], "image_id": 3}]))
    with pytest.raises(InputError, match=r"boxes\.json: a box of image 3, which"):
        listed(items, 0.2, file)
