"""One's own list of people: two forms of one thing, and what is refused."""

import json

import numpy as np
import pytest

from jaxvision.data.actions.own_lists import COLUMNS, read_own_list
from jaxvision.errors import InputError

LABELS = ("walk", "wave")
HEADER = ",".join(COLUMNS)


def as_csv(tmp_path, *rows: str, header: str = HEADER):
    path = tmp_path / "people.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def as_json(tmp_path, content):
    path = tmp_path / "people.json"
    path.write_text(json.dumps(content))
    return path


def entry(**changes) -> dict:
    return {
        "clip": "a.mp4",
        "time": 1.5,
        "person": "ann",
        "box": [0.1, 0.2, 0.3, 0.4],
        "labels": ["walk", "wave"],
        **changes,
    }


def test_csv_and_json_are_one(tmp_path):
    from_csv = read_own_list(
        as_csv(
            tmp_path,
            "a.mp4,1.5,ann,.1,.2,.3,.4,walk",
            "a.mp4,1.5,bob,.5,.5,1,1,",
            "a.mp4,1.5,ann,.1,.2,.3,.4,wave",
            "b.mp4,0,ann,0,0,1,1,wave",
        ),
        LABELS,
    )
    from_json = read_own_list(
        as_json(
            tmp_path,
            [
                entry(),
                entry(person="bob", box=[0.5, 0.5, 1, 1], labels=[]),
                entry(clip="b.mp4", time=0, box=[0, 0, 1, 1], labels=["wave"]),
            ],
        ),
        LABELS,
    )
    assert len(from_csv) == len(from_json) == 2
    for one, other in zip(from_csv, from_json, strict=True):
        assert one[:3] == other[:3]
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.actions, other.actions)
    assert from_csv[0].people == ("ann", "bob")
    np.testing.assert_array_equal(from_csv[0].actions, [[1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("a.mp4,1,ann,.1,.2,.3,.4,wakl", "did you mean 'walk'"),
        ("a.mp4,1,ann,.1,.2,.3,40,walk", "within 0 and 1"),
        ("a.mp4,1,ann,.3,.2,.1,.4,walk", "x1 <= x2"),
        ("a.mp4,0.5,ann,.1,.2,.3,.9,walk", "has boxes"),
        ("a.mp4,-1,ann,.1,.2,.3,.4,walk", "from the clip's start"),
        ("a.mp4,soon,ann,.1,.2,.3,.4,walk", "no finite number"),
        ("a.mp4,1,ann,.1,.2,.3,.4", "7 columns"),
    ],
)
def test_bad_rows_name_their_line(tmp_path, row, word):
    path = as_csv(tmp_path, "a.mp4,0.5,ann,.1,.2,.3,.4,walk", row)
    with pytest.raises(InputError, match=rf"people.csv:3: .*{word}"):
        read_own_list(path, LABELS)


def test_a_file_without_its_first_line(tmp_path):
    path = as_csv(tmp_path, header="a.mp4,1,ann,.1,.2,.3,.4,walk")
    with pytest.raises(InputError, match=r"people.csv:1: expected the line clip,time"):
        read_own_list(path, LABELS)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({}, "expected a list"),
        ([entry(), {"clip": "a"}], r"\[1\]: no 'time' in it"),
        ([entry(), entry(name="bob")], "entry 1: expected the keys"),
        ([entry(box=[1, 2])], r"\[0\].box: 2 values; expected 4"),
        ([entry(labels="walk")], r"\[0\].labels: 'walk'; expected a list"),
        ([entry(box=[0, 0, "x", 1])], r"\[0\].box\[2\]: 'x'; expected a number"),
    ],
)
def test_bad_json(tmp_path, content, word):
    path = as_json(tmp_path, content)
    with pytest.raises(InputError, match=word):
        read_own_list(path, LABELS)


def test_pixels(tmp_path):
    path = as_csv(tmp_path, "a.mp4,1,ann,10,20,300,400,walk")
    np.testing.assert_array_equal(
        read_own_list(path, LABELS, "pixels")[0].boxes, [[10, 20, 300, 400]]
    )


def test_a_list_of_nobody_and_an_unknown_unit(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(InputError, match=r"people\.csv: nobody in it"):
        read_own_list(path, LABELS)
    with pytest.raises(InputError, match=r"data\.unit 'pixel'; did you mean 'pixels'"):
        read_own_list(path, LABELS, "pixel")
