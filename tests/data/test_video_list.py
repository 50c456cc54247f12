"""List files of videos: columns apart by spaces or commas."""

import pytest

from jaxvision.data.video_list import read_list
from jaxvision.errors import InputError


@pytest.mark.parametrize("separator", [" ", ","])
def test_columns_by_spaces_or_commas(tmp_path, separator):
    rows = [("a clip, cut.mp4", "3"), ("folder/two", "40", "1")]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(separator.join(row) for row in rows))
    video, pictures = read_list(path, 4, "root")
    assert (str(video.path), video.label, video.frames) == ("root/a clip, cut.mp4", 3, None)
    assert (str(pictures.path), pictures.label) == ("root/folder/two", 1)
    assert len(pictures.frames) == 40


def test_labels_that_do_not_matter(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a.mp4,709\n")
    with pytest.raises(InputError, match=r"train.csv:1: label 709 is not in 0 .. 399"):
        read_list(path, 400)
    assert [video.label for video in read_list(path, None)] == [709]
    path.write_text("a.mp4\n")
    with pytest.raises(InputError, match="expected 'PATH LABEL'"):
        read_list(path, None)
