"""A list of one's own people and what they do, as CSV or JSON.

CSV: a line `clip,time,person,x1,y1,x2,y2,label`, then a row for every label of a person; an empty
label is a person who does none of them. JSON: a list of entries with the keys clip, time, person,
"box": [x1, y1, x2, y2] and "labels": [...]. `clip` is a file of a video or a folder of frames,
`time` in seconds from its start, `person` any name that tells people of one time apart.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.actions.ava_files import check_box, finite_number
from jaxvision.errors import InputError, nearest, reading

COLUMNS = ("clip", "time", "person", "x1", "y1", "x2", "y2", "label")
FIELDS = ("clip", "time", "person", "box", "labels")
Unit = Literal["shares", "pixels"]


class Moment(NamedTuple):
    """The people of one time. time: seconds.  boxes: x1, y1, x2, y2 in the list's unit.  actions: 1
    where a person does one, in the order of the labels."""

    clip: str
    time: float
    people: tuple[str, ...]
    boxes: Float[np.ndarray, "people 4"]
    actions: UInt8[np.ndarray, "people labels"]


class _Row(NamedTuple):
    where: str
    clip: str
    time: float
    person: str
    box: tuple[float, ...]
    labels: tuple[str, ...]


def read_own_list(path: Path, labels: Sequence[str], unit: Unit = "shares") -> tuple[Moment, ...]:
    """Every time of every clip that the list names, by first appearance. unit: of boxes: "shares"
    of the frame, 0 to 1, or "pixels".

    InputError names the line or entry of a label that is none of `labels`, of a bad box, of a
    person who has two boxes at one time, and of a negative time.
    """
    rows = _json_rows(path) if Path(path).suffix.lower() == ".json" else _csv_rows(path)
    number = {name: place for place, name in enumerate(labels)}
    moments: dict[tuple[str, float], dict[str, tuple[tuple[float, ...], np.ndarray]]] = {}
    for row in rows:
        _check(row, unit)
        people = moments.setdefault((row.clip, row.time), {})
        box, actions = people.setdefault(row.person, (row.box, np.zeros(len(labels), np.uint8)))
        if box != row.box:
            raise InputError(
                f"{row.where}: person {row.person!r} has boxes {list(box)} and {list(row.box)} "
                f"at {row.time:g} s of {row.clip}"
            )
        for label in row.labels:
            if label not in number:
                raise InputError(f"{row.where}: label {label!r}{nearest(label, number)}")
            actions[number[label]] = 1
    return tuple(
        Moment(
            clip,
            time,
            tuple(people),
            np.array([box for box, _ in people.values()], np.float64),
            np.stack([actions for _, actions in people.values()]),
        )
        for (clip, time), people in moments.items()
    )


def _check(row: _Row, unit: Unit) -> None:
    if row.time < 0:
        raise InputError(f"{row.where}: time {row.time:g}; expected seconds from the clip's start")
    if unit == "shares":
        check_box(list(row.box), row.where)
    elif row.box[2] < row.box[0] or row.box[3] < row.box[1]:
        raise InputError(f"{row.where}: box {list(row.box)}; expected x1 <= x2 and y1 <= y2")


def _csv_rows(path: Path) -> Iterable[_Row]:
    with reading(path, "a list of people"), open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = tuple(name.strip() for name in next(reader, []))
        if header != COLUMNS:
            raise InputError(f"{path}:1: expected the line {','.join(COLUMNS)}")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if row and len(row) != len(COLUMNS):
                raise InputError(f"{where}: {len(row)} columns; expected {len(COLUMNS)}")
            if row:
                clip, time, person, *box, label = (value.strip() for value in row)
                yield _Row(
                    where=where,
                    clip=clip,
                    time=finite_number(time, where),
                    person=person,
                    box=tuple(finite_number(value, where) for value in box),
                    labels=(label,) if label else (),
                )


def _json_rows(path: Path) -> Iterable[_Row]:
    with reading(path, "JSON"):
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of people")
    for place, entry in enumerate(content):
        yield _json_row(f"{path}: entry {place}", entry)


def _json_row(where: str, entry: Any) -> _Row:
    if not isinstance(entry, Mapping) or set(entry) != set(FIELDS):
        raise InputError(f"{where}: expected the keys {', '.join(FIELDS)}")
    box, labels = entry["box"], entry["labels"]
    if not isinstance(box, list) or len(box) != 4:
        raise InputError(f"{where}: box {box}; expected [x1, y1, x2, y2]")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"{where}: labels {labels}; expected a list of names")
    return _Row(
        where=where,
        clip=str(entry["clip"]),
        time=finite_number(str(entry["time"]), where),
        person=str(entry["person"]),
        box=tuple(finite_number(str(value), where) for value in box),
        labels=tuple(labels),
    )
