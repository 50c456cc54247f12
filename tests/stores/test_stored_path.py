"""A path in an object store answers as a path of a folder does."""

import os
import pickle
import time
from pathlib import Path

import fsspec
import pytest

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError
from jaxvision.stores import local_copies
from jaxvision.stores.store import Known
from jaxvision.stores.stored_path import (
    StoredPath,
    folder_here,
    is_there,
    matches,
    path_below,
    path_to,
)

NAMES = ("a/x.txt", "a/y 1.txt", "a/deep/z[0].bin", "list.csv")


@pytest.fixture
def both(put, tmp_path):
    """A folder here and the same in a store."""
    here = tmp_path / "data"
    for name in NAMES:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    return here, path_to(put(here))


@pytest.mark.parametrize(
    "ask",
    [
        lambda root: sorted(root.iterdir()),
        lambda root: sorted(root.rglob("*")),
        lambda root: sorted(root.rglob("*.txt")),
        lambda root: sorted(root.glob("*")),
        lambda root: sorted(root.glob("a/*.txt")),
        lambda root: sorted(root.glob("*/deep/*")),
        lambda root: sorted(root.glob("nothing/*")),
        lambda root: [root / "a" / "x.txt", (root / "list.csv").with_suffix(".json")],
        lambda root: [
            (root / "a/deep/z[0].bin").parent,
            (root / "a" / ".." / "list.csv").resolve(),
        ],
    ],
)
def test_names_are_those_of_a_folder(both, ask):
    here, there = both
    assert [p.relative_to(there) for p in ask(there)] == [p.relative_to(here) for p in ask(here)]


@pytest.mark.parametrize("name", [*NAMES, "", "a", "a/deep", "none", "a/none"])
def test_what_a_name_is(both, name):
    for ask in ("exists", "is_file", "is_dir", "is_symlink"):
        assert getattr(both[1] / name, ask)() == getattr(both[0] / name, ask)(), ask
    listed = {path: path for path in both[1].rglob("*")}.get(both[1] / name)
    assert listed is None or listed.is_dir() == (both[0] / name).is_dir()


@pytest.mark.parametrize("name", NAMES)
def test_content(both, name):
    path = both[1] / name
    assert path.read_text() == name == path.open().read() == Path(os.fspath(path)).read_text()
    assert path.read_bytes() == name.encode() == path.open("rb").read()
    assert path.stat().st_size == len(name)
    with open(path) as file:
        assert file.read() == name
    assert str(path_to(str(path))) == str(path) == f"{both[1]}/{name}"


def test_what_was_listed_is_not_asked_for_again(both, monkeypatch):
    listed = pickle.loads(pickle.dumps(sorted((both[1] / "a").glob("*.txt"))))
    monkeypatch.setattr("jaxvision.stores.stored_path.known_of", None)
    assert [path.read_text() for path in listed] == ["a/x.txt", "a/y 1.txt"]


def test_another_content_is_read_anew(both):
    path, memory = both[1] / "list.csv", fsspec.filesystem("memory")
    first, state = Path(os.fspath(path)), path.stat().st_mtime_ns
    assert Path(os.fspath(path)) == first
    memory.pipe_file("/bucket/data/list.csv", b"other!!!")
    assert path.read_text() == "other!!!"
    assert path.stat().st_mtime_ns != state


def test_a_listing_and_a_question_know_the_same(both):
    for listed in both[1].rglob("*"):
        assert listed.stat() == path_to(str(listed)).stat()


def test_addresses_in_lists_stand_for_themselves(both):
    root = both[1]
    assert path_below("data", "gs://b/x.mp4") == path_to("gs://b/x.mp4")
    assert path_below(root, "a/x.txt") == root / "a/x.txt"
    assert path_below(root / "a", "../list.csv").read_text() == "list.csv"
    assert sorted(p.name for p in (root / "a/..").iterdir()) == ["a", "list.csv"]
    assert str(root / "gs://b/x.mp4") == "gs://b/x.mp4"
    assert root / "/tmp/x" == Path("/tmp/x")
    assert not isinstance(path_to("data/x"), StoredPath)


def test_what_is_written_is_a_folder_here():
    with pytest.raises(InputError, match=r"^data.features=gs://b/f: expected a folder of this"):
        folder_here("data.features", "gs://b/f")
    assert folder_here("data.features", "b/f") == Path("b/f")


def test_patterns(both):
    found = sorted(map(str, matches(f"{both[1]}/a/*.txt")))
    assert found == [f"{both[1]}/a/x.txt", f"{both[1]}/a/y 1.txt"]
    assert sorted(map(str, matches(str(both[0] / "a/*.txt"))))[0] == str(both[0] / "a/x.txt")
    assert not matches(f"{both[1]}/none")
    assert is_there(f"{both[1]}/list.csv")
    assert not is_there(f"{both[1]}/a")
    assert is_there(both[1] / "a", folder=True)
    assert not is_there("x" * 5000)


def test_nothing_is_written(both):
    path = both[1] / "a" / "x.txt"
    for write in (
        lambda: path.open("w"),
        lambda: path.write_text("x"),
        lambda: path.unlink(),
        lambda: (both[1] / "new").mkdir(),
    ):
        with pytest.raises(InputError, match="object storage is read here, not written"):
            write()
    assert not os.stat(path).st_mode & 0o222, "a copy must not be written through"
    with pytest.raises(InputError, match="read here"), atomic_write(path) as temporary:
        Path(temporary).write_text("x")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("secret.txt", "cannot be read: not allowed \\(403\\): anonymous caller.nlacks"),
        ("broken.txt", "cannot be read: reset by peer$"),
        ("half.txt", "cannot be read: 7 of 10 bytes came$"),
        ("none.txt", "no such file \\(404\\)$"),
    ],
)
def test_what_does_not_come_is_told_in_a_line(bad, tmp_path, name, said):
    with pytest.raises(InputError, match=f"^bad://{name}: {said}"):
        (path_to(bad + "/") / name).read_bytes()
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()], "nothing half-written"
    assert (path_to(bad + "/") / "whole.txt").read_bytes() == b"1234567890"


def test_a_folder_that_may_not_be_listed(bad):
    with pytest.raises(InputError, match=r"^bad://hidden: cannot be read: not allowed \(403\)"):
        list(path_to("bad://hidden").iterdir())
    with pytest.raises(InputError, match=r"^memory://none: no such folder \(404\)$"):
        list(path_to("memory://none").iterdir())
    with pytest.raises(InputError, match=r"^nostore://b/x: Protocol not known"):
        path_to("nostore://b/x").exists()


def test_copies_take_bounded_space(both, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / local_copies.FOLDER
    paths = [both[1] / name for name in NAMES]
    copies = [Path(os.fspath(path)) for path in paths]
    for age, copy in enumerate(copies):
        os.utime(copy, (time.time() - 1000 + age,) * 2)
    Path(os.fspath(paths[0]))  # used again, so it is the last to go
    local_copies.remove_oldest(folder, most=len(NAMES[0]) + len(NAMES[3]))
    assert [copy.is_file() for copy in copies] == [True, False, False, True]
    local_copies.remove_oldest(folder, most=0)
    assert [copy.is_file() for copy in copies] == [True, False, False, False], "just used: stays"
    # A process looks after a twentieth of the bound.
    os.utime(copies[0], (1, 1))
    monkeypatch.setenv(local_copies.LIMIT, "1e-8")
    Path(os.fspath(paths[1]))
    assert not copies[0].is_file()
    monkeypatch.setenv(local_copies.LIMIT, "none")
    with pytest.raises(InputError, match="JAXVISION_CACHE_GB=none: expected gigabytes"):
        Path(os.fspath(paths[3]))


def test_what_stores_call_a_version():
    of = Known.of
    row = {"type": "file", "size": 3}
    assert of({**row, "ETag": '"a"'}) == of({**row, "ETag": "a", "LastModified": 7})
    assert of({**row, "ETag": "a"}) != of({**row, "ETag": "b"})
    assert of({**row, "mtime": 1}) != of({**row, "mtime": 2})
