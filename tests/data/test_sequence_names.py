"""Sequences by name: their order, and what is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvision.data.frame_interpolation import frame_folders
from jaxvision.data.frame_stream import PictureStream
from jaxvision.data.sequence_names import first_and_last, gaps, in_order


def paths(*names):
    return [Path(name) for name in names]


@pytest.mark.parametrize(
    "names",
    [
        ("frame1.png", "frame2.png", "frame10.png"),
        ("b/a2.png", "b/a11.png", "b2/a1.png", "b10/a1.png"),
        ("1.png", "2.png", "10.png", "a.png"),
        ("a.png", "a1.png", "a1b.png"),
        ("x01.png", "x1.png", "x2.png"),
    ],
)
def test_numbers_are_numbers(names):
    assert in_order(reversed(paths(*names))) == paths(*names)


def test_gaps_are_said():
    assert gaps(paths("f1.png", "f2.png", "f5.png", "f6.png")) == [
        "2 missing between f2.png and f5.png"
    ]
    assert gaps(paths("f0.png", "f2.png", "f4.png")) == []
    assert gaps(paths("f0.png", "f2.png", "f8.png")) == ["2 missing between f2.png and f8.png"]
    assert gaps(paths("a.png", "f2.png", "f8.png")) == []
    assert gaps(paths("f1.png", "f8.png")) == []
    assert first_and_last(paths("f1.png", "f8.png")) == "f1.png .. f8.png (2 files)"


def test_a_number_that_all_names_share_counts_nothing():
    names = [f"take3_{number:04d}_1080p.png" for number in (1, 2, 3, 7)]
    assert gaps(paths(*names)) == [f"3 missing between {names[2]} and {names[3]}"]


def test_two_sequences_in_one_folder_are_said():
    names = ("left1.png", "left2.png", "right1.png", "right2.png")
    assert gaps(paths(*names)) == ["the numbers begin again between left2.png and right1.png"]
    names = ("f1.jpg", "f1.png", "f2.jpg", "f2.png")
    assert gaps(paths(*names)) == [f"f{n}.jpg and f{n}.png have one number" for n in (1, 2)]


def test_training_and_prediction_take_a_folder_in_its_order(tmp_path):
    for number in (1, 2, 10):
        Image.fromarray(np.full((8, 8, 3), number * 10, np.uint8)).save(
            tmp_path / f"frame{number}.png"
        )
    stream = PictureStream(sorted(tmp_path.iterdir()))
    assert [int(frame.image[0, 0, 0]) for frame in stream] == [10, 20, 100]
    assert stream.notes == {"7 missing between frame2.png and frame10.png"}
    with pytest.warns(UserWarning, match=r"frame1\.png \.\. frame10\.png \(3 files\): 7 missing"):
        (files,) = frame_folders(tmp_path, 3).paths
    assert [path.name for path in files] == ["frame1.png", "frame2.png", "frame10.png"]
