"""Every reader of data reads from an object store what it reads from a folder."""

import re
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from fuzz.readers import READERS
from jaxvision.data.video import Video
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks.video_classification import class_names, default_data, labelled_videos

VIDEOS = Path(__file__).parents[1] / "goldens" / "videos"

# Weights are fetched whole by their address, and a run's workdir is a folder of this machine.
ELSEWHERE = ("PyTorch checkpoint", ".safetensors", "converted weights", "checkpoints")


def said(value, folder):
    """What was read, without where."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    text = repr(value).replace(str(folder), "").replace("StoredPath(", "PosixPath(")
    return re.sub(r" at 0x\w+", "", text)


@pytest.mark.parametrize("name", [name for name in READERS if name not in ELSEWHERE])
def test_reads_the_same(name, put, tmp_path):
    make, read = READERS[name]
    here = tmp_path / "data"
    here.mkdir()
    make(here)
    expected = read(here)
    found = read(path_to(put(here)))
    assert type(found) is type(expected)
    assert said(found, "memory://bucket/data") == said(expected, here)


def test_labelled_videos_lie_in_a_store(put, tmp_path):
    """As folders of classes, and in a list whose root, or whose lines, are addresses."""
    here = tmp_path / "data"
    for name in ("juggling/a.mp4", "walking/b.mp4"):
        (here / name).parent.mkdir(parents=True)
        (here / name).write_bytes((VIDEOS / "h264_bframes.mp4").read_bytes())
    there = put(here)
    (here / "list.csv").write_text("juggling/a.mp4 0\nwalking/b.mp4 1\n")
    (here / "far.csv").write_text(f"{there}/juggling/a.mp4 0\n{there}/walking/b.mp4 1\n")
    put(here)
    data = ConfigDict(default_data())
    for train, root in ((there, ""), (f"{there}/list.csv", there), (str(here / "far.csv"), "")):
        data.update(train=train, root=root)
        videos = labelled_videos(data, "train", ("juggling", "walking"))
        assert [videos[n].label for n in range(len(videos))] == [0, 1]
        assert videos.name(1) == f"{there}/walking/b.mp4"
        with videos[1].open() as found, Video(here / "walking/b.mp4") as expected:
            np.testing.assert_array_equal(found.frames([0, 3]), expected.frames([0, 3]))
    data.train, data.labels = there, ""
    assert class_names(data) == ("juggling", "walking")
