"""What benchmarks/repeatability.py makes of the copies that it ran."""

from benchmarks.repeatability import first_difference, kinds, small_config, write_videos
from jaxvision.data.video import Video


def seen(**changes):
    usual = {"files": "f", "start": "s", "batches": ["a", "b"], "losses": ["1", "2"], "end": "e"}
    return {**usual, **changes}


def test_equal_copies_are_of_one_kind():
    found = [seen(), seen(), seen()]
    assert kinds(found) == {name: [3] for name in ("files", "start", "batches", "losses", "end")}
    assert first_difference(found) == ""


def test_the_first_thing_that_differs_is_named():
    other = seen(batches=["a", "x"], losses=["1", "3"], end="d")
    found = [seen(), seen(), other]
    assert kinds(found)["losses"] == [2, 1]
    assert kinds(found)["files"] == [3]
    assert first_difference(found) == "copy 2 differs from copy 0 in its batches at step 2"
    assert first_difference([seen(), {"problem": "x"}]) == "copy 1 differs from copy 0 in its files"


def test_its_videos_and_its_config_fit(tmp_path):
    write_videos(tmp_path)
    files = sorted(tmp_path.rglob("*.mp4"))
    assert len(files) == 20
    with Video(files[0]) as video:
        assert (len(video), video.size) == (12, (48, 64))
    config = small_config(tmp_path, steps=3)
    assert (config.train.steps, config.log.every_steps) == (3, 1)
    assert config.data.train == str(tmp_path / "train")
