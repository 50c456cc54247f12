"""A list of one's own people and what they do, as CSV or JSON.

CSV: a line `clip,time,person,x1,y1,x2,y2,label`, then a row for every label of a person; an empty
label is a person who does none of them. JSON: a list of entries with the keys clip, time, person,
"box": [x1, y1, x2, y2] and "labels": [...]. `clip` is a file of a video or a folder of frames,
`time` in seconds from its start, `person` any name that tells people of one time apart.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.actions.ava_files import check_box, finite_number
from jaxvision.errors import InputError, check_choice, nearest, reading
from jaxvision.text_files import read_json, read_text

COLUMNS = ("clip", "time", "person", "x1", "y1", "x2", "y2", "label")
# An entry of JSON; its person is a name or a number.
ENTRY = {
    "clip": str,
    "time": float,
    "person": str | int,
    "box": (float, float, float, float),
    "labels": [str],
}
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

    InputError for another unit and for a list of nobody; it names the line or entry of a label that
    is none of `labels`, of a bad box, of a person who has two boxes at one time, and of a time
    below 0.
    """
    check_choice("data.unit", unit, get_args(Unit))
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
    if not moments:
        raise InputError(f"{path}: nobody in it; expected a row for every label of a person")
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
    reader = csv.reader(read_text(path).split("\n"))
    with reading(path, "a list of people"):
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
    for place, entry in enumerate(read_json(path, [ENTRY])):
        where = f"{path}: entry {place}"
        if set(entry) != set(ENTRY):
            raise InputError(f"{where}: expected the keys {', '.join(ENTRY)}")
        box = tuple(map(float, entry["box"]))
        labels = tuple(entry["labels"])
        clip, person = entry["clip"], str(entry["person"])
        yield _Row(
            where=where,
            clip=clip,
            time=float(entry["time"]),
            person=person,
            box=box,
            labels=labels,
        )
