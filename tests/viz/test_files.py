"""What is written can be read back, and nothing is left half-written."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from jaxvision.data.atomic_write import atomic_write
from jaxvision.viz.files import output_names, write_mp4, write_png
from jaxvision.viz.video import strip


def test_png_is_exact(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_mp4_keeps_frames_rate_and_colours(tmp_path):
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [90, 90, 90]], np.uint8)
    video = np.broadcast_to(colours[:, None, None], (4, 33, 48, 3)).copy()
    write_mp4(tmp_path / "a.mp4", video, 12.5)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 12.5
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    assert [f.shape for f in frames] == [(32, 48, 3)] * 4
    np.testing.assert_allclose(np.stack(frames)[:, 16, 24], colours, atol=8)


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_write(path) as temporary:
            (tmp_path / temporary).write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_strip_shows_frames_in_order():
    video = np.zeros((16, 64, 64, 3), np.uint8)
    video[:, ..., 0] = np.arange(16)[:, None, None] * 10
    picture = strip({"a": video, "b": video[:3]}, most_frames=4)
    row = picture[32, 84:, 0]
    assert [int(row[66 * i + 5]) for i in range(4)] == [0, 50, 100, 150]


def test_a_long_name_takes_several_lines():
    video = np.zeros((1, 64, 64, 3), np.uint8)

    def lines(name):
        inked = strip({name: video})[:64, :84].any(axis=(1, 2)).astype(int)
        return int((np.diff(inked, prepend=0) == 1).sum())

    names = ("anna", "anna moves", "nearest mother moves", "m" * 100)
    assert [lines(name) for name in names] == [1, 1, 2, 4]


def test_outputs_never_share_a_name():
    paths = [Path(p) for p in ("a_2.png", "x/a.png", "a.mp4", "y/a.png", "b.png")]
    assert output_names(paths) == ["a_2", "a", "a_3", "a_4", "b"]


def test_names_of_tables_and_of_other_inputs_files_are_taken(tmp_path):
    paths = [tmp_path / name for name in ("job.npz", "Answered.bin", "a.mp4", "a_people.mp4")]
    assert output_names(paths) == ["job_2", "Answered_2", "a", "a_people_2"]
    assert output_names([Path("x_retimed.mp4"), Path("x.mp4")]) == ["x_retimed", "x_2"]
