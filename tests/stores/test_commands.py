"""Commands with addresses: inputs and lists are read from a store, answers are put into one."""

import fsspec
import numpy as np
import pytest

from cli.test_shards import VIDEOS, Labels, files_of, in_shards, toy  # noqa: F401
from jaxvision import loading
from jaxvision.cli.main import main


@pytest.fixture
def texts(monkeypatch, put, tmp_path):
    """(the task, where the texts lie in a store, the same here)."""
    task = Labels()
    monkeypatch.setattr(loading, "load_run", lambda *_, **__: (task, None, {"w": np.ones(2)}))
    for name in ("a/x", "a/y", "b/x", "b/z", "c", "d"):
        path = tmp_path / f"texts/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return task, put(tmp_path / "texts", "memory://bucket/texts"), tmp_path / "texts"


def predict(where, out, *more):
    return main(
        ["predict", str(where), "--config=pdpp/demo", "--weights=none", f"--out={out}", *more]
    )


def stored(tmp_path, address):
    """What lies at an address, as `files_of` says it; the note of inputs by their names here."""
    target = tmp_path / "got"
    fsspec.filesystem("memory").get(f"{address}/", str(target), recursive=True)
    return files_of(target)


def without_notes(files):
    return {name: said for name, said in files.items() if name not in ("job.json", "answered.json")}


@pytest.mark.parametrize("shards", [0, 3])
def test_answers_in_a_store_are_those_of_a_folder(texts, tmp_path, shards, capsys):
    task, there, here = texts
    assert predict(here, tmp_path / "out") == 0
    task.asked.clear()
    out = "memory://bucket/out"
    if shards:
        argv = ["predict", there, "--config=pdpp/demo", "--weights=none", f"--out={out}"]
        assert in_shards(shards, *argv) == [0] * (shards + 1)
    else:
        assert predict(there, out) == 0
    assert sorted(task.asked) == ["c.txt", "d.txt", "x.txt", "x.txt", "y.txt", "z.txt"]
    found, expected = (
        without_notes(stored(tmp_path, out)),
        without_notes(files_of(tmp_path / "out")),
    )
    assert found.keys() == expected.keys()
    pictures = [name for name in found if name.endswith(".png")]
    assert pictures
    assert all(found[name] == expected[name] for name in pictures)
    said = capsys.readouterr()
    assert f"{out}/predictions.json" in said.out
    assert not list((tmp_path / "cache/staged").glob("*/*")), "what was put there leaves this disk"
    # The same command finds its answers there, and another is refused them.
    assert predict(there, out) == 0
    assert len(task.asked) == 6
    assert predict(f"{there}/a", out) == 2
    assert f"error: {out}: holds another job's answers (inputs: " in capsys.readouterr().err


def test_a_command_that_stopped_goes_on_from_what_is_in_the_store(texts, tmp_path, monkeypatch):
    task, there, here = texts
    (here / "b/x.txt").write_text("broken")
    fsspec.filesystem("memory").pipe_file("/bucket/texts/b/x.txt", b"broken")
    assert predict(there, "memory://bucket/out") == 2
    fsspec.filesystem("memory").pipe_file("/bucket/texts/b/x.txt", b"b/x")
    monkeypatch.setenv("JAXVISION_CACHE", str(tmp_path / "another machine"))
    task.asked.clear()
    assert predict(there, "memory://bucket/out") == 0
    assert task.asked == ["x.txt"]
    assert len(stored(tmp_path, "memory://bucket/out")["predictions.json"]) == 6


def test_a_folder_of_others_is_left_alone(texts, capsys):
    _, there, _ = texts
    assert predict(there, "memory://bucket") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(
        "jaxvision: error: memory://bucket/texts: lies in memory://bucket, where"
    )
    assert predict(f"{there}/a", f"{there}/b") == 2
    assert "memory://bucket/texts/b: holds files of no job (x.txt)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("memory://bucket/none", "no such file, folder or match"),
        ("memory://bucket/texts/*.png", "no such file, folder or match"),
        (
            "bad://hidden",
            "bad://hidden: cannot be read: not allowed (403): lacks",
        ),
        ("nostore://a", "Protocol not known"),
    ],
)
def test_inputs_that_cannot_be_had(texts, bad, tmp_path, word, said, capsys):
    assert predict(word, tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert said in error
    assert not (tmp_path / "out").exists()


def test_a_store_that_may_not_be_written_is_refused_before_the_work(texts, bad, capsys):
    task, there, _ = texts
    assert predict(there, "bad://answers") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("jaxvision: error: bad://answers: cannot be written: not allowed")
    assert not task.asked


def test_patterns_name_inputs(texts, tmp_path):
    task, there, _ = texts
    assert predict(f"{there}/*/x.txt", tmp_path / "out") == 0
    assert task.asked == ["x.txt", "x.txt"]


def test_inputs_that_do_not_come_are_named_and_the_others_answered(texts, bad, tmp_path, capsys):
    task, _, _ = texts
    assert predict("bad://*.txt", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "3 of 4 inputs could not be answered" in said
    assert "bad://half.txt: cannot be read: 7 of 10 bytes came" in said
    assert task.asked[-1] == "whole.txt"


def test_evaluations_are_put_into_a_store(toy, put, tmp_path, capsys):  # noqa: F811
    argv = toy
    assert main([*argv, f"--out={tmp_path / 'here'}"]) == 0
    assert main([*argv, "--out=memory://bucket/scores"]) == 0
    assert in_shards(2, *argv, "--out=memory://bucket/shared") == [0, 0, 0]
    assert "error" not in capsys.readouterr().err
    expected = files_of(tmp_path / "here")
    assert "results.json" in expected
    assert stored(tmp_path / "1", "memory://bucket/scores") == expected
    assert stored(tmp_path / "2", "memory://bucket/shared") == expected


def test_videos_are_prepared_from_a_store(put, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("h264_bframes.mp4", "vp9.webm"):
        (videos / name).write_bytes((VIDEOS / name).read_bytes())
    (tmp_path / "val.csv").write_text("vp9.webm 1\n")
    there = put(videos)
    words = ["--short-side=32", "--workers=1", "--list", str(tmp_path / "val.csv")]
    assert main(["prepare", "videos", str(videos), str(tmp_path / "here"), *words]) == 0
    assert main(["prepare", "videos", there, str(tmp_path / "there"), *words]) == 0
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
