"""Key frames as samples: who is refused, who is left out and counted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from jaxvision.data.actions.film_figures import FilmFigures
from jaxvision.errors import InputError
from jaxvision.methods.cycleacr.inputs import Bucket, ClipTransform
from jaxvision.methods.cycleacr.instances import InstanceConfig
from jaxvision.methods.cycleacr.variants import build, model_table
from jaxvision.tasks import boxed_people
from jaxvision.viz.files import write_mp4

BUCKET = Bucket(32, 32)
TRANSFORM = ClipTransform(
    frames=4,
    stride=1,
    two=False,
    sides=(32, 0),
    people=2,
    classes=4,
    training=True,
    extend=(0.0, 0.0),
    crop=0,
    flip=False,
    jitter=False,
    colours=False,
    cropped="keep",
    buckets={BUCKET.name: BUCKET},
    rows={("0", 0): 5, ("0", 1): 6},
    window=InstanceConfig(before=1, after=1, features=4),
)
FILMS = FilmFigures(films=1, seconds=3, seed=0)


def sample(transform, record, seed=0):
    return transform(record, np.random.default_rng(seed), BUCKET.name)


def crowd(boxes):
    record = FILMS[1]
    actions = np.repeat(record.actions, len(boxes), axis=0)
    return record._replace(boxes=np.array(boxes, np.float32), actions=actions)


def test_a_label_tells_the_second_before():
    colours = FILMS.colours(0)
    assert not FILMS[0].actions[0, 2:].any()
    for second in (1, 2):
        actions = FILMS[second].actions[0]
        assert actions[colours[second]] == actions[2 + colours[second - 1]] == 1
        assert actions.sum() == 2


def test_a_sample_knows_its_row_and_its_window():
    found = sample(TRANSFORM, FILMS[1])
    assert found["row"] == 6
    np.testing.assert_array_equal(found["window"], [5, 6, -1])
    np.testing.assert_array_equal(found["exists"], [True, False])
    np.testing.assert_array_equal(found["boxes"][0], FILMS[1].boxes[0])


def test_more_people_than_there_is_room_for_are_counted():
    record = crowd([[1, 1, 8, 8], [2, 2, 9, 9], [3, 3, 9, 9]])
    assert sample(TRANSFORM, record)["beyond"] == 1
    assert sample(replace(TRANSFORM, people=3), record)["beyond"] == 0


@pytest.mark.parametrize(("rule", "people"), [("keep", 2), ("drop", 1)])
def test_people_cropped_away_stay_or_go_and_are_counted(rule, people):
    record = crowd([[0, 0, 31, 31], [0, 0, 1, 1]])
    transform = replace(TRANSFORM, crop=16, cropped=rule)
    found = next(
        found for seed in range(9) if (found := sample(transform, record, seed))["emptied"]
    )
    assert (found["emptied"], found["exists"].sum()) == (1, people)


def annotations(tmp_path, width=32):
    images = [{"id": 7, "movie": "film", "timestamp": 902, "width": width, "height": 32}]
    people = [{"image_id": 7, "bbox": [1, 1, 9, 9], "action_ids": [1]}]
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"images": images, "annotations": people}))
    return path


def test_boxes_of_an_unknown_image_are_refused(tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 8, "bbox": [1, 1, 9, 9], "score": 0.9}]))
    with pytest.raises(InputError, match=r"boxes\.json: a box of image 8, which the annotations"):
        boxed_people.detected(annotations(tmp_path), boxes, tmp_path, 80, 0.8)


def test_a_missing_film_is_refused(tmp_path):
    records = boxed_people.annotated(annotations(tmp_path), tmp_path, 80)
    assert records.moments() == [("film", 902)]
    with pytest.raises(InputError, match=r"film/902\.mp4: no such file"):
        records[0].frames(4, 1)


@pytest.mark.parametrize(("backbone", "divisor"), [("vit", 2), ("slowfast", 4)])
def test_frames_that_a_backbone_cannot_divide_are_refused(backbone, divisor):
    table = model_table() | {"backbone": backbone, "frames": 9}
    with pytest.raises(InputError, match=rf"model\.frames=9; expected a multiple of {divisor}"):
        build(table, 80, "float32")


def test_boxes_of_another_frame_size_are_refused(tmp_path):
    (tmp_path / "film").mkdir()
    for second in (901, 902):
        write_mp4(tmp_path / f"film/{second}.mp4", np.zeros((4, 32, 48, 3), np.uint8), 4)
    records = boxed_people.annotated(annotations(tmp_path), tmp_path, 80)
    with pytest.raises(InputError, match=r"frames of 48 x 32; its boxes are of 32 x 32"):
        records[0].frames(4, 1)
    records = boxed_people.annotated(annotations(tmp_path, 48), tmp_path, 80)
    assert records[0].frames(4, 1).shape == (4, 32, 48, 3)
