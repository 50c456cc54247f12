"""People as JSON: what is read, counted and refused."""

import json

import numpy as np
import pytest

from jaxvision.data.actions.json_files import read_annotations, read_detected, write_detected
from jaxvision.errors import InputError

IMAGES = [
    {"id": 2, "movie": "m", "timestamp": 903, "width": 64, "height": 48},
    {"id": 1, "movie": "m", "timestamp": 902, "width": 64, "height": 48},
]


def written(tmp_path, content, name: str = "people.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def annotation(image: int = 1, bbox=(0, 0, 10, 10), actions=(1,)) -> dict:
    return {"image_id": image, "bbox": list(bbox), "action_ids": list(actions)}


def test_annotations_by_image_with_boxes_within_the_frame(tmp_path):
    rows = [annotation(2), annotation(bbox=(60, 40, 10, 10), actions=(1, 3)), annotation()]
    rows.append(annotation(2, (70, 0, 5, 5)))
    path = written(tmp_path, {"images": IMAGES, "annotations": rows})
    images, people, dropped = read_annotations(path, 3)
    assert [image.second for image in images.values()] == [902, 903]
    assert dropped == 1
    np.testing.assert_array_equal(people[1].boxes, [[60, 40, 63, 47], [0, 0, 9, 9]])
    np.testing.assert_array_equal(people[1].actions, [[1, 0, 1], [1, 0, 0]])
    assert len(people[2].boxes) == 1


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "JSON"),
        ([], "'images'"),
        ({"images": IMAGES, "annotations": [annotation(7)]}, "image 7"),
        ({"images": IMAGES, "annotations": [annotation(actions=[0])]}, "action id 0"),
        ({"images": IMAGES, "annotations": [annotation(actions=[4])]}, "expected 1 to 3"),
        ({"images": IMAGES, "annotations": [{"image_id": 1}]}, "'action_ids'"),
        ({"images": IMAGES, "annotations": [annotation(bbox=[1, 2, 3])]}, "x, y, width"),
        ({"images": [{"id": 1}], "annotations": []}, "'movie'"),
        ({"images": IMAGES, "annotations": [annotation(actions=["1"])]}, "action id '1'; expected"),
        (
            {"images": IMAGES, "annotations": [annotation(actions=[1.5])]},
            r"action id 1\.5; expected",
        ),
        ({"images": [*IMAGES, IMAGES[0]], "annotations": []}, "image 2 comes twice"),
        ({"images": [{**IMAGES[0], "id": "2"}], "annotations": []}, "image '2'; expected a whole"),
        ({"images": [{**IMAGES[0], "width": -4}], "annotations": []}, "image 2: -4 x 48 pixels"),
    ],
)
def test_bad_annotations_name_the_file(tmp_path, content, word):
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=rf"people.json: .*{word}"):
        read_annotations(path, 3)


def test_detected_people_over_a_threshold(tmp_path):
    path = written(tmp_path, {"images": IMAGES, "annotations": [annotation()]})
    images, _, _ = read_annotations(path, 3)
    found = [
        {"image_id": 2, "bbox": [0, 0, 5, 5], "score": 0.8},
        {"image_id": 2, "bbox": [0, 0, 1, 5], "score": 0.9},
        {"image_id": 1, "bbox": [0, 0, 5, 5], "score": 0.7},
    ]
    people, dropped = read_detected(written(tmp_path, found, "found.json"), images, 0.8)
    assert (list(people), dropped) == ([2], 1)
    np.testing.assert_allclose(people[2].scores, [0.8])
    found.append({"image_id": 9, "bbox": [0, 0, 5, 5], "score": 0.8})
    strange = written(tmp_path, found, "found.json")
    with pytest.raises(InputError, match="image 9"):
        read_detected(strange, images)


def test_detected_people_there_and_back(tmp_path):
    path = written(tmp_path, {"images": IMAGES, "annotations": [annotation()]})
    images, people, _ = read_annotations(path, 3)
    write_detected(tmp_path / "found.json", people)
    assert json.loads((tmp_path / "found.json").read_text()) == [
        {"image_id": 1, "bbox": [0, 0, 10, 10], "score": 1}
    ]
    back, dropped = read_detected(tmp_path / "found.json", images, 0.5)
    assert (list(back), dropped) == ([1], 0)
    np.testing.assert_array_equal(back[1].boxes, people[1].boxes)


DETECTION = {"image_id": 1, "bbox": [1, 1, 9, 9], "score": 0.9}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"image_id": "1"}, r"a box of image '1', .*\(images 1 to 2\)"),
        ({"image_id": [1]}, r"a box of image \[1\]"),
        ({"score": None}, "None in .*; expected a finite number"),
        ({"score": "0.9"}, "'0.9' in .*; expected a finite number"),
        ({"score": float("nan")}, "nan in .*; expected a finite number"),
        (
            {"bbox": [float("nan"), 1, 9, 9]},
            r"the box of .*nan, 1, 9, 9.*; expected finite numbers",
        ),
        ({"bbox": [1, 2, 3]}, "x, y, width"),
        ({"bbox": [1, 60, 3, 3]}, "image 1: a box from x 1, y 60, beyond its frame of 64 x 48"),
    ],
)
def test_bad_detections_name_the_file_and_the_entry(tmp_path, change, word):
    path = written(tmp_path, {"images": IMAGES, "annotations": []})
    images, _, _ = read_annotations(path, 3)
    found = written(tmp_path, [DETECTION, {**DETECTION, **change}], "found.json")
    with pytest.raises(InputError, match=rf"found.json: .*{word}"):
        read_detected(found, images, 0.5, within=True)
