"""Annotations of videos and pictures in words: JSON lists and SQLite tables of the video-text
papers (UMT, VindLU), questions with answers, and captions to choose from."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

from jaxvision.data.moving_shapes import MadeClip
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_below, path_to
from jaxvision.text_files import read_json

Medium = Literal["video", "image"]
Place = Path | tuple[Path, ...] | MadeClip


@dataclass(frozen=True)
class CaptionRecord:
    """path: of the video or picture, or of the pictures of a video; or a clip that is made.
    captions: one or several."""

    path: Place
    captions: tuple[str, ...]


@dataclass(frozen=True)
class QuestionRecord:
    """answers: several where annotators disagree; none in a test set.  number: of the question."""

    path: Path | tuple[Path, ...]
    question: str
    answers: tuple[str, ...]
    number: str | int


@dataclass(frozen=True)
class ChoiceRecord:
    """options: captions.  answer: the number of the right one."""

    path: Path | tuple[Path, ...]
    options: tuple[str, ...]
    answer: int


def read_captions(
    file: str | Path, root: str | Path = "", medium: Medium = "video"
) -> tuple[CaptionRecord, ...]:
    """The records of a JSON list of {"video" or "image": path, "caption": text or texts}, or of an
    SQLite file (.sqlite, .sqlite3, .db) with a table annos(id, filename, caption).

    root: paths are below it.  InputError names the file, and the record at fault.
    """
    if Path(file).suffix.lower() in (".sqlite", ".sqlite3", ".db"):
        return _read_sqlite(path_to(file), path_to(root))
    return tuple(
        CaptionRecord(_path(record, root, where, medium), _texts(record, "caption", where))
        for where, record in _records(file)
    )


def paragraphs(records: Sequence[CaptionRecord]) -> tuple[CaptionRecord, ...]:
    """Each record's captions as one, joined by spaces (DiDeMo, ActivityNet)."""
    return tuple(CaptionRecord(r.path, (" ".join(r.captions),)) for r in records)


def read_questions(
    file: str | Path, root: str | Path = "", medium: Medium = "video"
) -> tuple[QuestionRecord, ...]:
    """The records of a JSON list of {"video": path, "question": text, "answer": text or texts,
    "question_id"}. A missing answer is none; a missing number is the place in the list."""
    return tuple(
        QuestionRecord(
            _path(record, root, where, medium),
            _text(record, "question", where),
            _texts(record, "answer", where) if "answer" in record else (),
            record.get("question_id", number),
        )
        for number, (where, record) in enumerate(_records(file))
    )


def read_choices(
    file: str | Path, root: str | Path = "", medium: Medium = "video"
) -> tuple[ChoiceRecord, ...]:
    """The records of a JSON list of {"video": path, "caption": options, "answer": number of the
    right one}. All have as many options, at least two."""
    records: list[ChoiceRecord] = []
    for where, record in _records(file):
        options = _texts(record, "caption", where)
        answer = record.get("answer")
        if len(options) < 2:
            raise InputError(f"{where}: one option alone; expected a choice among several")
        if type(answer) is not int or not 0 <= answer < len(options):
            raise InputError(f"{where}: answer {answer!r:.60} of {len(options)} options")
        if records and len(options) != len(records[0].options):
            raise InputError(
                f"{where}: {len(options)} options; the first record has {len(records[0].options)}"
            )
        records.append(ChoiceRecord(_path(record, root, where, medium), options, answer))
    return tuple(records)


def read_answers(file: str | Path) -> tuple[str, ...]:
    """A JSON list of the answers to choose from. InputError where one comes twice."""
    answers = read_json(file)
    if not isinstance(answers, list) or not all(isinstance(a, str) and a for a in answers):
        raise InputError(f"{file}: expected a JSON list of answers")
    seen: set[str] = set()
    for answer in answers:
        if answer in seen:
            raise InputError(f"{file}: answer {answer!r} comes twice")
        seen.add(answer)
    if not answers:
        raise InputError(f"{file}: no answers")
    return tuple(answers)


def _records(file: str | Path) -> list[tuple[str, Mapping[str, Any]]]:
    """(where it stands, record) of a JSON list of tables."""
    records = read_json(file)
    if not isinstance(records, list) or not records:
        raise InputError(f"{file}: expected a JSON list of records, at least one")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{file}: record {number}: {record!r:.60}: expected a table")
    return [(f"{file}: record {number}", record) for number, record in enumerate(records)]


def _path(
    record: Mapping[str, Any], root: str | Path, where: str, medium: Medium
) -> Path | tuple[Path, ...]:
    value = record.get(medium)
    if _is_a_path(value):
        return path_below(root, value)
    if isinstance(value, list) and value and all(map(_is_a_path, value)):
        return tuple(path_below(root, v) for v in value)
    raise InputError(f'{where}: "{medium}" is {value!r:.60}: expected a path, or a list of them')


def _is_a_path(value: Any) -> TypeGuard[str]:
    """A text that a file system can look for: not empty, no NUL, whole characters."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise InputError(f'{where}: "{key}" is {value!r:.60}: expected text')
    return value


def _texts(record: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = record.get(key)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise InputError(f'{where}: "{key}" is {value!r:.60}: expected text, or a list of texts')
    return tuple(texts)


def _read_sqlite(file: Path, root: Path) -> tuple[CaptionRecord, ...]:
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    records = []
    try:
        here = Path(os.fspath(file.resolve()))
        connection = sqlite3.connect(f"{here.as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT id, filename, caption FROM annos ORDER BY id")
            for number, (row, name, caption) in enumerate(rows):
                if row != number or not _is_a_path(name) or not isinstance(caption, str):
                    raise InputError(
                        f"{file}: record {number}: id {row!r}, filename {name!r:.60}, caption "
                        f"{caption!r:.60}: expected ids from 0 on, a path and a text"
                    )
                records.append(CaptionRecord(root / name, (caption,)))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(
            f"{file}: record {len(records)}: cannot be read as SQLite with a table annos(id, "
            f"filename, caption) ({error})"
        ) from error
    if not records:
        raise InputError(f"{file}: no records in its table annos")
    return tuple(records)
