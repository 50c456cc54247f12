"""Prepared videos hold the same frames under the same numbers; a second run finishes the first."""

import functools
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxvision.cli.main import main
from jaxvision.data import prepare_videos, video_list
from jaxvision.data.frame_shards import read_index
from jaxvision.data.prepare_videos import Preparation
from jaxvision.data.reencoding import reencode
from jaxvision.data.timeout import Stalled
from jaxvision.data.video import Video
from jaxvision.errors import InputError

FILES = Path(__file__).parents[1] / "goldens" / "videos"
KINDS = (
    "h264_open_gop.mp4",
    "hevc_10bit.mp4",
    "mjpeg.mov",
    "mpeg4.avi",
    "odd_size_444.mp4",
    "time_gap.mp4",
    "variable_rate.mp4",
    "vp9.webm",
)


def number_of(frame: np.ndarray, scale: float = 1.0) -> int:
    """The bar code of tests/data/test_video.py in a frame of `scale` times the size."""
    at = (np.arange(12) * 16 + 8) * scale
    over, under = frame[np.rint([[8 * scale], [24 * scale]]).astype(int), np.rint(at).astype(int)]
    return int(
        "".join("1" if a > b else "0" for a, b in np.stack([over.mean(-1), under.mean(-1)], 1)), 2
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_has_the_same_frames_at_the_same_times(name, tmp_path):
    count = reencode(FILES / name, tmp_path / "copy.mp4", 320)
    with Video(FILES / name) as before, Video(tmp_path / "copy.mp4") as after:
        assert len(after) == len(before) == count
        assert after.size == tuple(side // 2 * 2 for side in before.size)
        numbers = np.random.default_rng(0).permutation(count)[:12]
        frames = after.frames(numbers)
        assert [number_of(frame) for frame in frames] == list(numbers)
        np.testing.assert_allclose(after.times, before.times, atol=2e-5)
        if after.size == before.size:
            # Colours stay what they were: the mean shows a wrong range or matrix.
            error = frames.mean((0, 1, 2)) - before.frames(numbers).mean((0, 1, 2))
            assert np.abs(error).max() < 1.5


def test_a_smaller_copy(tmp_path):
    reencode(FILES / "h264_bframes.mp4", tmp_path / "copy.mp4", 80)
    with Video(tmp_path / "copy.mp4") as video:
        assert video.size == (80, 112)
        frames = video.frames(range(60))
    assert [number_of(frame, 0.5) for frame in frames] == list(range(60))


def test_a_copy_is_the_same_file_each_time(tmp_path):
    # What lies in memory that an encoder does not set must not show: it differs each time here.
    random, copies = np.random.default_rng(0), set()
    for _ in range(15):
        sizes = random.integers(100, 200_000, 100)
        before = [np.full(size, random.integers(256), np.uint8) for size in sizes]
        del before
        reencode(FILES / "h264_bframes.mp4", tmp_path / "copy.mp4", 160)
        copies.add((tmp_path / "copy.mp4").read_bytes())
    assert len(copies) == 1


@pytest.mark.parametrize("name", ["damaged_middle.mkv", "truncated.mp4", "audio_only.mp4"])
def test_a_damaged_video_leaves_no_copy(name, tmp_path):
    with pytest.raises(InputError, match=name):
        reencode(FILES / name, tmp_path / "copy.mp4", 80)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def source(tmp_path):
    """Class folders with a broken file in one, and two files that differ in the suffix alone."""
    root = tmp_path / "source"
    for name in ("left/a.mp4", "left/a.mkv", "right/b c.avi", "right/broken.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(FILES / "h264_bframes.mp4", root / "left/a.mp4")
    shutil.copy(FILES / "h264_no_bframes.mkv", root / "left/a.mkv")
    shutil.copy(FILES / "mpeg4.avi", root / "right/b c.avi")
    shutil.copy(FILES / "truncated.mp4", root / "right/broken.mp4")
    (tmp_path / "train.csv").write_text("left/a.mp4 0\nright/b c.avi 1\nright/broken.mp4 1\n")
    return root


@pytest.mark.parametrize("kind", ["mp4", "frames"])
def test_class_folders_and_lists_work_on_what_was_prepared(kind, source, tmp_path, capsys):
    out = tmp_path / "out"
    argv = ["prepare", "videos", str(source), str(out), "--short-side=80", f"--format={kind}"]
    argv += ["--workers=2"]
    assert main(argv) == 2  # one is broken; the others are there
    printed = capsys.readouterr().out
    assert "unreadable: right/broken.mp4: " in printed
    assert "3 videos in" in printed
    assert "(0 were there), 1 unreadable" in printed
    found = video_list.read_class_folders(out)
    items = found.items
    assert found.names == ("left", "right")
    assert [item.label for item in items] == [0, 0, 1]
    for item in pickle.loads(pickle.dumps(items)):
        with item.open() as video:
            frames = video.frames([59, 0, 31, 0])
            assert len(video) == 60
        assert frames.shape == (4, 80, 112, 3)
        assert [number_of(frame, 0.5) for frame in frames] == [59, 0, 31, 0]
    assert main(argv) == 2
    assert "(3 were there), 1 unreadable" in capsys.readouterr().out
    assert (out / "unreadable.txt").read_text().startswith("right/broken.mp4\t")


@pytest.mark.parametrize("kind", ["mp4", "frames"])
def test_lists_are_written_anew(kind, source, tmp_path):
    work = Preparation(source, tmp_path / "out", 80, kind, (tmp_path / "train.csv",))
    assert sum(progress.videos for progress in work.run(1)) == 3
    items = video_list.read_list(tmp_path / "out" / "train.csv", 2, tmp_path / "out")
    assert [item.label for item in items] == [0, 1]
    with items[1].open() as video:
        assert number_of(video.frames([7])[0], 0.5) == 7
    (tmp_path / "out" / "pretrain.csv").write_text("left/a.mp4 0 -1\n")
    (item,) = video_list.read_unlabelled_list(
        tmp_path / "out" / "pretrain.csv", tmp_path / "out", lambda path: ""
    )
    with item.open() as video:
        assert number_of(video.frames([8])[0], 0.5) == 8


def test_a_run_cut_short_goes_on_where_it_was(source, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_videos, "VIDEOS_PER_SHARD", 1)
    for kind in ("mp4", "frames"):
        work = Preparation(source, tmp_path / kind, 80, kind)
        running = work.run(1)
        assert not next(running).skipped
        running.close()
        assert [progress.skipped for progress in work.run(1)] == [True, False, False, False]
    assert len(read_index(tmp_path / "frames")) == 3
    # Another set of videos is other shards, not a finished job.
    (source / "left/a.mkv").unlink()
    again = Preparation(source, tmp_path / "frames", 80, "frames")
    assert [progress.skipped for progress in again.run(1)] == [False, False, False]
    assert sorted(read_index(tmp_path / "frames")) == ["left/a.mp4", "right/b c.avi"]


def test_what_cannot_be_is_refused(source, tmp_path):
    def refused(match, target=tmp_path / "out", **settings):
        with pytest.raises(InputError, match=match):
            list(Preparation(source, target, **{"short_side": 80, **settings}).run(1))

    refused("81: expected an even number", short_side=81)
    refused("lies inside", target=source / "small")
    (tmp_path / "wrong.csv").write_text("left/a.mp4 0\nleft/z.mp4 0\n")
    refused(r"wrong.csv:2: .*z.mp4: no such file", lists=(tmp_path / "wrong.csv",))
    (tmp_path / "wrong.csv").write_text("left 30 0\n")
    refused(r"wrong.csv:1: 'left 30 0': expected a video", lists=(tmp_path / "wrong.csv",))
    list(Preparation(source, tmp_path / "out", 80).run(1))
    refused("was begun with .*80.*, not .*64", short_side=64)
    refused("not empty", target=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no videos there"):
        Preparation(tmp_path / "empty", tmp_path / "other", 80)


def test_a_shard_that_is_gone_or_lacks_a_video_is_one_line(source, tmp_path):
    list(Preparation(source, tmp_path / "out", 80, "frames").run(1))
    video = read_index(tmp_path / "out")["left/a.mp4"]
    with pytest.raises(InputError, match=r"left/a.mp4: no frame 60 among 60"):
        video.frames([0, 60])
    (tmp_path / "list.csv").write_text("left/other.mp4 0\n")
    with pytest.raises(InputError, match=r"list.csv:1: 'left/other.mp4' is not among the 3 videos"):
        video_list.read_list(tmp_path / "list.csv", 2, tmp_path / "out")
    video.shard.write_bytes(b"no shard")
    with pytest.raises(InputError, match=r"00000.array_record: left/a.mp4 cannot be read"):
        video.frames([0])


def test_a_lost_worker_is_one_line():
    lost = functools.partial(os._exit, 1)
    with pytest.raises(Stalled, match=r"a worker process was lost .*: run again"):
        list(prepare_videos._each([lost, lost], 2))
