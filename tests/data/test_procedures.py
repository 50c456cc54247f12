"""Readers of procedures: the owners' layouts, and what is refused or handled."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from jaxvision.data.arrays import read_arrays
from jaxvision.data.procedure_files import NAMES, READERS, frames_of
from jaxvision.data.procedure_generator import ProcedureWorld
from jaxvision.data.procedures import Procedures, Video, cut_windows
from jaxvision.errors import InputError

CHANNELS = 4


def features(seconds: int, channels: int = CHANNELS) -> np.ndarray:
    return np.random.default_rng(seconds).normal(size=(seconds, channels)).astype(np.float32)


def save_archive(path: Path, **arrays) -> None:
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def make_coin(root: Path, array: np.ndarray, action: str = "3", videos: int = 1) -> None:
    (root / "full_npy").mkdir()
    about = {
        "recipe_type": 7,
        "class": "MakeTea",
        "annotation": [
            {"id": action, "segment": [float(s), s + 1.5], "label": f"step {s}"} for s in (0, 3, 6)
        ],
    }
    entries = [{f"v{number}": about} for number in range(videos)]
    (root / "coin_train_70.json").write_text(json.dumps(entries))
    save_archive(root / "full_npy" / "MakeTea_7_v0.npy", frames_features=array)


def test_coin_reads_archives_named_npy(tmp_path):
    make_coin(tmp_path, features(9))
    read = READERS["coin"](tmp_path, "train", CHANNELS)
    assert [v.name for v in read.videos] == ["v0"]
    np.testing.assert_array_equal(read.videos[0].features, features(9))
    assert read.actions[2] == "step 6"
    assert read.tasks[7] == "MakeTea"


def test_coins_names_are_those_of_both_lists(tmp_path):
    """Whichever split is read, and whatever of its features is there."""
    make_coin(tmp_path, features(9))
    steps = [{"id": 5, "segment": [0.0, 1.5], "label": "pour"}]
    about = {"recipe_type": 9, "class": "MakeSoup", "annotation": steps}
    (tmp_path / "coin_test_30.json").write_text(json.dumps([{"v9": about}]))
    read = READERS["coin"](tmp_path, "train", CHANNELS)
    assert (read.tasks[7], read.tasks[9], read.tasks[1]) == ("MakeTea", "MakeSoup", "task 1")
    assert (read.actions[2], read.actions[4], read.actions[5]) == ("step 6", "pour", "action 5")
    assert NAMES["coin"](tmp_path) == (read.tasks, read.actions)


with_nan = features(9)
with_nan[4, 1] = np.nan


@pytest.mark.parametrize(
    ("array", "action", "named"),
    [
        (features(9, 5), "3", r"v0.npy: features are \(9, 5\), expected \[seconds, 4\]"),
        (features(9)[:, 0], "3", r"v0.npy: features are \(9,\)"),
        (with_nan, "3", "v0.npy: features of second 4 are not finite"),
        (features(9), "779", "v0.npy: action id 778, expected 0 to 777"),
        (features(9), "0", "v0.npy: action id -1, expected 0 to 777"),
        (features(9).astype("U8"), "3", "v0.npy: features of type"),
    ],
)
def test_coin_refuses(tmp_path, array, action, named):
    make_coin(tmp_path, array, action)
    with pytest.raises(InputError, match=named):
        READERS["coin"](tmp_path, "train", CHANNELS)


def test_missing_features_are_dropped_and_counted(tmp_path):
    make_coin(tmp_path, features(9), videos=3)
    assert READERS["coin"](tmp_path, "train", CHANNELS).dropped == {"no feature file": 2}


@pytest.mark.parametrize("seconds", [None, 7])
def test_an_empty_split_is_refused(tmp_path, seconds):
    """No video at all, and one that ends after its features (dropped, as published)."""
    make_coin(tmp_path, features(9))
    if seconds is None:
        (tmp_path / "coin_train_70.json").write_text("[]")
    else:
        path = tmp_path / "full_npy" / "MakeTea_7_v0.npy"
        save_archive(path, frames_features=features(seconds))
    with pytest.raises(InputError, match="an empty split"):
        READERS["coin"](tmp_path, "train", CHANNELS)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_missing_folder_is_one_line(tmp_path, name):
    with pytest.raises(InputError, match="No such file") as caught:
        READERS[name](tmp_path / "nowhere", "train", CHANNELS)
    assert "\n" not in str(caught.value)


def test_crosstask_table_with_an_id_out_of_range(tmp_path):
    np.save(tmp_path / "actions_one_hot.npy", {"23521_1": 105})
    with pytest.raises(InputError, match="23521_1 has action id 105, expected 0 to 104"):
        READERS["crosstask_how"](tmp_path, "train", CHANNELS)


class Command:
    """A pickle that would create a file when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("in_array", [True, False], ids=["object array", "dictionary"])
def test_a_pickle_that_asks_for_more_is_refused_unrun(tmp_path, in_array):
    path, mark = tmp_path / "features.npy", tmp_path / "ran"
    content = Command(mark) if in_array else {"frames_features": Command(mark)}
    np.save(path, np.array(content, dtype=object))
    with pytest.raises(InputError, match=r"features\.npy: its pickle asks for"):
        read_arrays(path)
    assert not mark.exists()


def test_a_pickle_in_an_archive_is_refused_unrun(tmp_path):
    path, mark = tmp_path / "features.npy", tmp_path / "ran"
    save_archive(path, frames_features=np.array(Command(mark), dtype=object))
    with pytest.raises(InputError, match=r"features\.npy"):
        read_arrays(path)
    assert not mark.exists()


def test_every_container_of_features_is_read(tmp_path):
    want = features(5)
    np.save(tmp_path / "plain.npy", want)
    np.save(tmp_path / "pickled.npy", {"frames_features": want, "count": np.int64(5)})
    save_archive(tmp_path / "archive.npy", frames_features=want)
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(frames_of(path), want)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x03\x04broken", pickle.dumps({"a": 1})]
)
def test_damaged_files_are_one_line(tmp_path, content):
    path = tmp_path / "features.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"features\.npy") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)


def test_short_procedures_repeat_their_first_action():
    video = Video("v", 0, [(4, 1.2, 2.0), (2, 3.0, 9.7)], features(6))
    windows = cut_windows(Procedures([video], ["t"], list("abcde")), 4, "test")
    assert windows.plan.tolist() == [[4, 4, 4, 2]]
    assert windows.seconds.tolist() == [[[1, 2], [1, 2], [1, 2], [3, 5]]]
    np.testing.assert_array_equal(windows.start[0], video.features[1:4].ravel())
    np.testing.assert_array_equal(windows.goal[0], video.features[3:6].ravel())
    assert windows.name(0) == "v seconds 1 to 5"


def test_plain_layout(tmp_path):
    (tmp_path / "labels.json").write_text(
        json.dumps({"tasks": ["tea"], "actions": ["boil", "pour"]})
    )
    np.save(tmp_path / "a.npy", features(8))
    entry = {"feature": "a.npy", "task": "tea", "steps": [["boil", 0, 3], ["pour", 4, 6]]}
    (tmp_path / "train.json").write_text(json.dumps([entry]))
    read = READERS["plain"](tmp_path, "train", CHANNELS)
    assert read.videos[0].steps == [(0, 0.0, 3.0), (1, 4.0, 6.0)]
    assert NAMES["plain"](tmp_path) == (read.tasks, read.actions)
    entry["steps"][1][0] = "stir"
    (tmp_path / "train.json").write_text(json.dumps([entry]))
    with pytest.raises(InputError, match=r"is not in labels\.json"):
        READERS["plain"](tmp_path, "train", CHANNELS)
    labels = {"tasks": ["tea"], "actions": ["boil", "pour", "boil"]}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(InputError, match=r"labels\.json: 'boil' comes twice among actions"):
        READERS["plain"](tmp_path, "train", CHANNELS)


def test_generated_splits_differ_and_repeat():
    world = ProcedureWorld()
    train, test = world.split("train", 5), world.split("test", 5)
    again = ProcedureWorld().split("train", 5)
    for one, other in zip(train.videos, again.videos, strict=True):
        np.testing.assert_array_equal(one.features, other.features)
    assert not np.array_equal(train.videos[0].features[:3], test.videos[0].features[:3])
    swapped = [world.order(0, variant) for variant in (0, 1)]
    assert sorted(swapped[0]) == sorted(swapped[1])
    assert swapped[0].tolist() != swapped[1].tolist()
