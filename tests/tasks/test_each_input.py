"""Many inputs: each answered or named, tables at any end, and carrying on."""

import json

import numpy as np
import pytest

from jaxvision.errors import InputError, Unanswered
from jaxvision.tasks.each_input import ANSWERED, JOB, each_input
from jaxvision.tasks.label_prediction import predict_files


@pytest.fixture
def inputs(tmp_path):
    paths = [tmp_path / name for name in ("a.txt", "broken.txt", "c.txt")]
    for path in paths:
        path.write_text(path.stem)
    out = tmp_path / "out"
    out.mkdir()
    return paths, out


def answering(out, asked, broken="broken"):
    def answer(path, name):
        asked.append(path.name)
        if path.read_text() == broken:
            raise InputError(f"{path}: not one that can be read")
        (out / f"{name}.answer").write_text(name)
        return [out / f"{name}.answer"]

    return answer


def test_one_bad_input_ends_nothing(inputs, capsys):
    (paths, out), asked = inputs, []
    with pytest.raises(
        Unanswered, match=r"1 of 3 inputs could not be answered: .*broken\.txt;"
    ) as e:
        each_input(paths, out, answering(out, asked))
    assert asked == ["a.txt", "broken.txt", "c.txt"]
    assert [path.name for path in e.value.written] == ["a.answer", "c.answer"]
    told = capsys.readouterr().err.splitlines()
    assert [line[:5] for line in told] == ["[1/3]", "[2/3]", "[3/3]"]
    assert "no answer" in told[1]


def test_a_single_bad_input_is_one_line(inputs, capsys):
    paths, out = inputs
    with pytest.raises(InputError) as caught:
        each_input(paths[1:2], out, answering(out, []))
    assert not isinstance(caught.value, Unanswered)
    assert not capsys.readouterr().err


def test_tables_are_written_whatever_ends_it(inputs):
    paths, out = inputs
    saved = []

    def answer(path, name):
        if path.stem == "c":
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        each_input(paths, out, answer, lambda: saved.append("table") or [])
    assert saved == ["table"]
    assert [name.rsplit("/", 1)[1] for name in json.loads((out / ANSWERED).read_text())] == [
        "a.txt",
        "broken.txt",
    ]


def test_the_same_job_goes_on_where_it_stopped(inputs):
    (paths, out), asked = inputs, []
    (out / JOB).write_text("{}")
    with pytest.raises(Unanswered):
        each_input(paths, out, answering(out, asked))
    paths[1].write_text("mended")
    (out / "c.answer").unlink()
    written = each_input(paths, out, answering(out, asked))
    assert asked[3:] == ["broken.txt", "c.txt"]
    assert [path.name for path in written] == ["a.answer", "broken.answer", "c.answer"]
    paths[0].write_text("another file")
    each_input(paths, out, answering(out, asked))
    assert asked[5:] == ["a.txt"]


def test_answers_of_no_job_are_not_taken_over(inputs):
    (paths, out), asked = inputs, []
    for _ in range(2):
        each_input(paths, out, answering(out, asked, broken=""))
    assert len(asked) == 6


def test_labels_of_the_files_that_were_read_are_kept(inputs):
    paths, out = inputs

    def answer(path):
        if path.stem == "broken":
            raise InputError(f"{path}: not a video that can be read")
        return np.array([0.1, 0.9]), lambda label: np.zeros((4, 4, 3), np.uint8)

    with pytest.raises(Unanswered):
        predict_files(answer, ("run", "jump"), paths, out)
    table = json.loads((out / "predictions.json").read_text())
    assert {name.rsplit("/", 1)[1]: best[0]["class"] for name, best in table.items()} == {
        "a.txt": "jump",
        "c.txt": "jump",
    }
    assert (out / "predictions.csv").read_text().count("jump") == 2


def test_what_lies_beside_an_input_or_in_it_is_part_of_it(inputs):
    (paths, out), asked = inputs, []
    (out / JOB).write_text("{}")
    folder = paths[0].parent / "frames"
    folder.mkdir()
    (folder / "1.png").write_text("one")

    def answer(path, name):
        asked.append(path.name)
        return []

    for _ in range(2):
        each_input([paths[0], folder], out, answer)
    assert asked == ["a.txt", "frames"]
    for name in ("a.json", "a_people.json"):
        (folder.parent / name).write_text("[]")
        each_input([paths[0], folder], out, answer)
    (folder / "1.png").write_text("another")
    each_input([paths[0], folder], out, answer)
    assert asked[2:] == ["a.txt", "a.txt", "frames"]


def test_what_can_be_read_no_longer_leaves_the_table(inputs):
    (paths, out), broken = inputs, []

    def answer(path):
        if path.stem in broken:
            raise InputError(f"{path}: not a video that can be read")
        return np.array([0.1, 0.9]), lambda label: np.zeros((4, 4, 3), np.uint8)

    (out / JOB).write_text("{}")
    predict_files(answer, ("run", "jump"), paths, out)
    broken.append("c")
    paths[2].write_text("cut off")
    with pytest.raises(Unanswered):
        predict_files(answer, ("run", "jump"), paths, out)
    assert len(json.loads((out / "predictions.json").read_text())) == 2
