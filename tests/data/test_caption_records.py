"""JSON lists and SQLite tables of videos in words, and what is refused in them."""

import json
import sqlite3
from pathlib import Path

import pytest

from jaxvision.data.caption_records import (
    CaptionRecord,
    paragraphs,
    read_answers,
    read_captions,
    read_choices,
    read_questions,
)
from jaxvision.errors import InputError


def written(folder: Path, content, name: str = "a.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def table(folder: Path, rows, name: str = "a.sqlite.db") -> Path:
    with sqlite3.connect(folder / name) as connection:
        connection.execute("CREATE TABLE annos (id, filename, caption)")
        connection.executemany("INSERT INTO annos VALUES (?, ?, ?)", rows)
    connection.close()
    return folder / name


def test_captions_of_json(tmp_path):
    file = written(
        tmp_path,
        [
            {"video": "a.mp4", "caption": "one"},
            {"video": ["b/1.jpg", "b/2.jpg"], "caption": ["two", "three"]},
        ],
    )
    assert read_captions(file, "/videos") == (
        CaptionRecord(Path("/videos/a.mp4"), ("one",)),
        CaptionRecord((Path("/videos/b/1.jpg"), Path("/videos/b/2.jpg")), ("two", "three")),
    )


def test_pictures_have_a_key_of_their_own(tmp_path):
    file = written(tmp_path, [{"image": "a.jpg", "caption": "one"}])
    assert read_captions(file, medium="image")[0].path == Path("a.jpg")
    with pytest.raises(InputError, match='record 0: "video" is None'):
        read_captions(file)


def test_captions_of_sqlite(tmp_path):
    file = table(tmp_path, [(1, "b.mp4", "two"), (0, "a.mp4", "one")])
    assert [r.captions for r in read_captions(file, "v")] == [("one",), ("two",)]
    assert read_captions(file, "v")[0].path == Path("v/a.mp4")


def test_a_paragraph_is_all_captions_of_a_video():
    records = (CaptionRecord(Path("a"), ("one.", "two.")),)
    assert paragraphs(records) == (CaptionRecord(Path("a"), ("one. two.",)),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "at least one"),
        ({"video": "a"}, "a JSON list"),
        ([{"video": "a", "caption": "x"}, 3], "record 1: 3"),
        ([{"video": "a"}], 'record 0: "caption" is None'),
        ([{"video": "a", "caption": []}], 'record 0: "caption"'),
        ([{"video": "a", "caption": [1]}], 'record 0: "caption"'),
        ([{"video": "", "caption": "x"}], 'record 0: "video"'),
    ],
)
def test_wrong_json_records(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_captions(written(tmp_path, content))


@pytest.mark.parametrize("path", ["", "a\0.mp4", "\ud800.mp4"])
def test_paths_that_no_file_can_have(tmp_path, path):
    listed = [{"video": "a.mp4", "caption": "x"}, {"video": path, "caption": "x"}]
    for wrong in (path, ["a.jpg", path]):
        with pytest.raises(InputError, match=r'record 1: "video" is .*: expected a path'):
            read_captions(written(tmp_path, [listed[0], {**listed[1], "video": wrong}]))
    if "\ud800" not in path:  # SQLite holds whole characters alone
        with pytest.raises(InputError, match=r"record 1: id 1, filename .*: expected .* a path"):
            read_captions(table(tmp_path, [(0, "a.mp4", "x"), (1, path, "x")]))


def test_files_that_are_no_json(tmp_path):
    file = tmp_path / "a.json"
    with pytest.raises(InputError, match=r"a\.json: cannot be read: No such file"):
        read_captions(file)
    file.write_text('[{"video": ')
    with pytest.raises(InputError, match=r"a\.json: not JSON"):
        read_captions(file)


def test_wrong_sqlite(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_captions(tmp_path / "b.db")
    damaged = tmp_path / "c.db"
    damaged.write_bytes(b"not a database at all" * 100)
    with pytest.raises(InputError, match=r"c\.db: record 0: cannot be read as SQLite"):
        read_captions(damaged)
    with pytest.raises(InputError, match="no records"):
        read_captions(table(tmp_path, [], "d.db"))
    with pytest.raises(InputError, match="record 1: id 2"):
        read_captions(table(tmp_path, [(0, "a", "x"), (2, "b", "y")], "e.db"))
    with pytest.raises(InputError, match=r"record 0: .*caption None"):
        read_captions(table(tmp_path, [(0, "a", None)], "f.db"))


def test_a_database_without_the_table(tmp_path):
    connection = sqlite3.connect(tmp_path / "g.db")
    connection.execute("CREATE TABLE other (id)")
    connection.close()
    with pytest.raises(InputError, match="annos"):
        read_captions(tmp_path / "g.db")


def test_questions(tmp_path):
    file = written(
        tmp_path,
        [
            {"video": "a", "question": "what?", "answer": ["x", "y"], "question_id": "q7"},
            {"video": "b", "question": "who?"},
        ],
    )
    first, second = read_questions(file)
    assert (first.answers, first.number) == (("x", "y"), "q7")
    assert (second.answers, second.number) == ((), 1)
    with pytest.raises(InputError, match='record 0: "question" is None'):
        read_questions(written(tmp_path, [{"video": "a", "answer": "x"}]))


def test_choices(tmp_path):
    one = {"video": "a", "caption": ["x", "y"], "answer": 1}
    assert read_choices(written(tmp_path, [one]))[0].answer == 1
    with pytest.raises(InputError, match="record 0: answer 2 of 2 options"):
        read_choices(written(tmp_path, [{**one, "answer": 2}]))
    for answer in (True, 1.0, "1"):
        with pytest.raises(InputError, match=f"record 0: answer {answer!r} of 2 options"):
            read_choices(written(tmp_path, [{**one, "answer": answer}]))
    with pytest.raises(InputError, match="record 0: one option alone"):
        read_choices(written(tmp_path, [{**one, "caption": "x", "answer": 0}]))
    with pytest.raises(InputError, match="record 1: 3 options; the first record has 2"):
        read_choices(written(tmp_path, [one, {**one, "caption": ["x", "y", "z"]}]))


def test_lists_of_answers(tmp_path):
    assert read_answers(written(tmp_path, ["yes", "no"])) == ("yes", "no")
    for content, message in (
        ([], "no answers"),
        (["yes", "yes"], "comes twice"),
        (["yes", 3], "a JSON list of answers"),
    ):
        with pytest.raises(InputError, match=message):
            read_answers(written(tmp_path, content))
