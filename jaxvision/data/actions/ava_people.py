"""AVA's annotations as people: rows of one box become one person with several actions."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxvision.data.actions.ava_files import BOX_COLUMNS, check_box, finite_number, rows_of
from jaxvision.errors import InputError, reading

FIRST_SECOND, LAST_SECOND = 902, 1798  # that AVA annotates; a film's file begins at second 900
FILE_BEGIN = 900
FRAME_LIST_COLUMNS = 5


class PeopleOfFrame(NamedTuple):
    """boxes: x1, y1, x2, y2 as shares of the frame.  actions: ids of every person, from 1; empty
    where the file has a person without action."""

    boxes: Float[np.ndarray, "people 4"]
    actions: tuple[tuple[int, ...], ...]


class KeyFramePeople(NamedTuple):
    """frames: {video: {second: people}}, seconds ascending.  outside: rows of seconds that AVA
    does not annotate, which are left out."""

    frames: Mapping[str, Mapping[int, PeopleOfFrame]]
    outside: int


def read_people(path: Path, classes: int) -> KeyFramePeople:
    """The people of `ava_train_v2.2.csv` or `ava_val_v2.2.csv`. Rows of a second are one person
    where their four coordinates are the same text, as published: the person's id is not read.

    InputError names the line of a bad box, and of an action id outside 1 to `classes`.
    """
    found: dict[str, dict[int, dict[tuple[str, ...], list[int]]]] = {}
    outside = 0
    for where, row in rows_of(path, (2, 7, 8), "annotations"):
        second = int(finite_number(row[1], where))
        if not FIRST_SECOND <= second <= LAST_SECOND:
            outside += 1
            continue
        if len(row) == 2:
            continue
        check_box([finite_number(value, where) for value in row[BOX_COLUMNS]], where)
        people = found.setdefault(row[0], {}).setdefault(second, {})
        actions = people.setdefault(tuple(row[BOX_COLUMNS]), [])
        if row[6]:
            action = finite_number(row[6], where)
            if action != int(action) or not 1 <= action <= classes:
                raise InputError(f"{where}: action id {row[6]}; expected 1 to {classes}")
            actions.append(int(action))
    frames = {
        video: {second: _people(by_second[second]) for second in sorted(by_second)}
        for video, by_second in found.items()
    }
    return KeyFramePeople(frames, outside)


def _people(by_box: Mapping[tuple[str, ...], list[int]]) -> PeopleOfFrame:
    boxes = np.array([[float(value) for value in box] for box in by_box], np.float64)
    return PeopleOfFrame(boxes.reshape(-1, 4), tuple(tuple(ids) for ids in by_box.values()))


def centre_frame(second: int, rate: int = 30) -> int:
    """Number of a key frame in its video's frames, `rate` frames a second."""
    return (second - FILE_BEGIN) * rate


def read_frame_list(path: Path) -> dict[str, list[str]]:
    """{video: files of its frames in order} of `frame_lists/train.csv`: a line of names, then
    lines of original video, video's number, frame's number, file and labels."""
    videos: dict[str, list[str]] = {}
    with reading(path, "a frame list"), open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file, delimiter=" ")
        next(reader, None)
        for row in reader:
            if len(row) != FRAME_LIST_COLUMNS:
                raise InputError(
                    f"{path}:{reader.line_num}: {len(row)} columns; expected {FRAME_LIST_COLUMNS}: "
                    "original video, video, frame, file, labels"
                )
            videos.setdefault(row[0], []).append(row[3])
    return videos
