"""Shards: disjoint and complete, one job's, one process's each, and all there at a merge."""

import pytest

from jaxvision.data.folder_lock import folder_lock
from jaxvision.data.shards import (
    FINISHED,
    FOLDER,
    Shard,
    asked_shard,
    finished_shards,
    remove_shards,
    shard_folder,
    shard_in,
)
from jaxvision.errors import InputError


@pytest.mark.parametrize("items", [0, 1, 5, 64, 1001])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_shards_are_disjoint_complete_in_order_and_even(items, count):
    parts = [Shard(number, count).of(range(items)) for number in range(1, count + 1)]
    assert [item for part in parts for item in part] == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    "text", ["3/2", "0/0", "0/2", "1/0", "-1/2", "1", "1/2/3", "a/b", "", "1/"]
)
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(InputError, match=r"--shard .*expected I/N"):
        asked_shard(text, {})


def slurm(number, count, first, last):
    names = [f"SLURM_ARRAY_TASK_{end}" for end in ("ID", "COUNT", "MIN", "MAX")]
    return dict(zip(names, map(str, (number, count, first, last)), strict=True))


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        (slurm(1, 8, 1, 8), (1, 8)),
        (slurm(7, 8, 0, 7), (8, 8)),
        (slurm(6, 4, 0, 6), (4, 4)),
        (slurm(5, 1, 5, 5), (1, 1)),
        ({"JOB_COMPLETION_INDEX": "0", "JAXVISION_SHARDS": "3"}, (1, 3)),
        ({"JOB_COMPLETION_INDEX": "2", "JAXVISION_SHARDS": "3"}, (3, 3)),
    ],
)
def test_a_scheduler_numbers_the_shards(environment, shard):
    assert asked_shard("auto", environment) == Shard(*shard)
    assert asked_shard(None, environment) is None, "an array may be of other things than shards"
    assert asked_shard("2/5", environment) == Shard(2, 5)


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "expected a SLURM array"),
        (slurm(2, 3, 1, 7), "3 tasks from 1 to 7; expected evenly numbered"),
        (slurm(5, 3, 1, 6), "3 tasks from 1 to 6; expected evenly numbered"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT='': expected a whole number"),
        ({"JOB_COMPLETION_INDEX": "1"}, "JAXVISION_SHARDS='': expected a whole number"),
        ({"JOB_COMPLETION_INDEX": "3", "JAXVISION_SHARDS": "3"}, "--shard 4/3: expected I/N"),
    ],
)
def test_a_scheduler_that_numbers_no_shards_is_refused(environment, why):
    with pytest.raises(InputError, match=why):
        asked_shard("auto", environment)


def do(out, number, count, fail=False, **job):
    with shard_folder(out, Shard(number, count), job) as folder:
        (folder / "answer").write_text(str(number))
        if fail:
            raise RuntimeError
        assert shard_in(folder) == Shard(number, count)


def test_a_merge_needs_every_shard(tmp_path):
    with pytest.raises(InputError, match="holds no shards; expected those of one --shard I/N"):
        finished_shards(tmp_path, {"what": 1})
    do(tmp_path, 1, 3, what=1)
    do(tmp_path, 3, 3, what=1)
    with pytest.raises(InputError, match="1 of 3 shards have not finished: 2/3"):
        finished_shards(tmp_path, {"what": 1})
    with pytest.raises(RuntimeError):
        do(tmp_path, 2, 3, fail=True, what=1)
    with pytest.raises(InputError, match="1 of 3 shards have not finished: 2/3"):
        finished_shards(tmp_path, {"what": 1})
    do(tmp_path, 2, 3, what=1)
    folders = finished_shards(tmp_path, {"what": 1})
    assert [(folder / "answer").read_text() for folder in folders] == ["1", "2", "3"]
    with pytest.raises(InputError, match=r"1-of-3: holds another job's answers \(what: 1 there, 2"):
        finished_shards(tmp_path, {"what": 2})


def test_two_shards_into_one_place_are_refused(tmp_path):
    do(tmp_path, 1, 2, what=1)
    with pytest.raises(InputError, match="holds shards of 2; --shard 1/3: expected as many"):
        do(tmp_path, 1, 3, what=1)
    with pytest.raises(InputError, match=r"1-of-2: holds another job's answers \(what: 1 there, 2"):
        do(tmp_path, 1, 2, what=2)
    lock = tmp_path / FOLDER / ".2-of-2.lock"
    with (
        folder_lock(lock, "a test"),
        pytest.raises(InputError, match=r"shard 2/2 is in use by process \d+"),
    ):
        do(tmp_path, 2, 2, what=1)


def test_shards_of_two_numbers_are_not_merged(tmp_path):
    for count in (2, 3):
        Shard(1, count).folder(tmp_path).mkdir(parents=True)
    with pytest.raises(InputError, match="holds shards of 2 and 3; expected those of one"):
        finished_shards(tmp_path, {})


def test_only_what_was_merged_is_removed(tmp_path):
    merged, later = (Shard(number, 2).folder(tmp_path) for number in (1, 2))
    for number in (1, 2):
        do(tmp_path, number, 2, what=1)
    remove_shards([merged])
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [".2-of-2.lock", "2-of-2"]
    (tmp_path / FOLDER / "thesis.txt").touch()
    remove_shards([later])
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["thesis.txt"]
    (tmp_path / FOLDER / "thesis.txt").unlink()
    do(tmp_path, 1, 1, what=1)
    remove_shards([])
    assert (Shard(1, 1).folder(tmp_path) / FINISHED).exists()
    remove_shards(finished_shards(tmp_path, {"what": 1}))
    assert not (tmp_path / FOLDER).exists()
