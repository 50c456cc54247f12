"""Films that are asked about people of a file: who is left out is told."""

import json

import numpy as np
import pytest

from jaxvision.data.conversions import collecting
from jaxvision.errors import InputError
from jaxvision.methods.cycleacr.instances import InstanceConfig
from jaxvision.methods.cycleacr.prediction import RememberedFilm

ROOM = 2


def first_stage(moment):
    """The first people of a key frame, as many as there is room for."""
    count = min(len(moment.people.boxes), ROOM)
    exists = np.arange(ROOM) < count
    return {"exists": exists, "scores": np.ones(ROOM), "shares": np.zeros((ROOM, 4))}


def second_stage(table, windows):
    return np.zeros((*table["exists"].shape, 3)), None


@pytest.fixture
def asked(tmp_path):
    """How many people a film of two key frames of 64 x 48 has by a file with these entries."""
    film = RememberedFilm(first_stage, second_stage, InstanceConfig(), threshold=0.8, classes=3)

    def ask(*entries):
        rows = [{"image_id": n, "bbox": box, "score": score} for n, box, score in entries]
        (tmp_path / "a_people.json").write_text(json.dumps(rows))
        detect = film.detector(tmp_path / "a.mp4", (48, 64), 2)
        found = [detect(np.zeros((1, 48, 64, 3), np.uint8), number) for number in range(2)]
        answered, _ = film.finish(found, np.arange(2.0), tmp_path / "a")
        return [len(people.boxes) for people in answered]

    return ask


def test_people_that_are_left_out_are_counted(asked):
    sure = (0, [1, 1, 9, 9], 0.9)
    with collecting() as notes:
        assert asked(sure) == [1, 0]
    assert notes == []
    with collecting() as notes:
        other = (1, sure[1], 0.9)
        entries = [(1, sure[1], 0.7), (1, [1, 1, 0, 9], 0.9), other, other, other]
        assert asked(sure, sure, sure, *entries) == [2, 2]
    assert {note.kind: note.detail for note in notes} == {
        "people with a score below task.box_threshold=0.8 left out": "1 of them",
        "empty boxes of people left out": "1 of them",
        "people beyond data.test_people=2 left out": "2 of them",
    }


def test_people_of_frames_of_another_size_are_refused(asked):
    with pytest.raises(InputError, match=r"a_people\.json: image 1: a box from x 70, y 2, beyond"):
        asked((1, [70, 2, 9, 9], 0.9))
