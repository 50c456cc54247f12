"""AVA's text files: what is read, and what is refused by line."""

import numpy as np
import pytest

from jaxvision.data.actions import ava_files, ava_people
from jaxvision.errors import InputError

LABELS = {1: "stand", 80: "watch"}


def written(tmp_path, text: str):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return path


def test_label_maps_in_both_spellings(tmp_path):
    path = written(
        tmp_path,
        'label {\n  name: "bend/bow"\n  label_id: 1\n  label_type: PERSON_MOVEMENT\n}\n'
        'item {\n  name: "sit"\n  id: 11\n}\n',
    )
    assert ava_files.read_label_map(path) == {1: "bend/bow", 11: "sit"}


@pytest.mark.parametrize(
    ("text", "word"), [("", "no labels"), ('label {\n name: "x"\n label_id: 0\n}', "from 1")]
)
def test_label_maps_that_are_none(tmp_path, text, word):
    with pytest.raises(InputError, match=word):
        ava_files.read_label_map(written(tmp_path, text))


def test_seconds_are_numbers_and_empty_rows_mention_key_frames(tmp_path):
    path = written(
        tmp_path,
        "m,902,0,0,1,1,1,5\nm,0902,0,0,1,.5,80,5\nm,903\nm,904,0,0,1,1,,5\nm,905,0,0,1,1,2,5",
    )
    frames = ava_files.KeyFrames()
    rows, mentioned, unlisted = ava_files.read_truth(path, frames, LABELS)
    np.testing.assert_array_equal(rows.frame, [0, 0])
    np.testing.assert_array_equal(rows.label, [1, 80])
    assert (mentioned, unlisted) == ({0, 1, 2, 3}, 1)
    assert list(frames.numbers) == [("m", 902), ("m", 903), ("m", 904), ("m", 905)]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("m,902,0,0,1.1,1,1,5", "within 0 and 1"),
        ("m,902,0.5,0,0.4,1,1,5", "x1 <= x2"),
        ("m,902,0,0,1,1,0,5", "ids count from 1"),
        ("m,902,0,0,1,1,1.5,5", "ids count from 1"),
        ("m,902,0,zero,1,1,1,5", "no finite number"),
        ("m,902,0,nan,1,1,1,5", "no finite number"),
        ("m,902,0,0,1", "5 columns"),
    ],
)
def test_bad_rows_of_truth_name_their_line(tmp_path, row, word):
    path = written(tmp_path, f"m,902,0,0,1,1,1,5\n{row}\n")
    with pytest.raises(InputError, match=rf"rows.csv:2.*{word}"):
        ava_files.read_truth(path, ava_files.KeyFrames(), LABELS)


def test_detections_are_written_as_they_are_read(tmp_path):
    path = tmp_path / "found.csv"
    rows = ava_files.ActionRows(
        np.array([1, 0]),
        np.array([[0.1, 0.2, 0.30000449, 0.4], [0, 0, 1, 1]]),
        np.array([1, 80]),
        np.array([0.123456, 1]),
    )
    ava_files.write_detections(path, [("a,b", 902.0), ("m", 3.0)], rows, LABELS)
    assert path.read_bytes().startswith(b"m,0003,0.10000,0.20000,0.30000,0.40000,1,0.12346\r\n")
    frames = ava_files.KeyFrames()
    back, unlisted = ava_files.read_detections(path, frames, LABELS)
    assert (unlisted, list(frames.numbers)) == (0, [("m", 3), ("a,b", 902)])
    np.testing.assert_array_equal(back.label, rows.label)
    with pytest.raises(InputError, match=r"\[80\]"):
        ava_files.write_detections(path, [("m", 1.0)] * 2, rows, {1: "stand"})


def test_a_file_of_detections_needs_scores(tmp_path):
    path = written(tmp_path, "m,902,0,0,1,1,1")
    with pytest.raises(InputError, match="expected 8"):
        ava_files.read_detections(path, ava_files.KeyFrames(), LABELS)


def test_people_are_rows_of_one_box(tmp_path):
    path = written(
        tmp_path,
        "m,904,0,0,1,1,1,5\nm,902,0,0,1,1,1,5\nm,902,0,0,1,1,80,6\nm,902,0,0,1.0,1,2,5\n"
        "m,903,0,0,1,1,,5\nm,901,0,0,1,1,1,5\nn,1798\n",
    )
    found = ava_people.read_people(path, 80)
    assert found.outside == 1
    assert list(found.frames) == ["m"]
    assert {second: people.actions for second, people in found.frames["m"].items()} == {
        902: ((1, 80), (2,)),
        903: ((),),
        904: ((1,),),
    }
    with pytest.raises(InputError, match=r"rows.csv:3.*action id 80; expected 1 to 60"):
        ava_people.read_people(path, 60)


def test_a_frame_list_of_other_columns(tmp_path):
    path = written(tmp_path, 'names of columns\nm 0 0 m/1.jpg ""\nm 0 1\n')
    with pytest.raises(InputError, match=r"rows.csv:3: 3 columns; expected 5"):
        ava_people.read_frame_list(path)
