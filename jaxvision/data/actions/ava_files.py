"""AVA's text files: label maps, excluded seconds, rows of truth and of detections.

A row is `video,second,x1,y1,x2,y2,class` and then the person (truth) or the score (detections);
coordinates are shares of the frame, 0 to 1. Seconds are compared as numbers: 902 is 0902.
"""

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError, reading
from jaxvision.stores.stored_path import path_to
from jaxvision.text_files import read_lines, read_text

KeyFrame = tuple[str, float]  # video, second
COLUMNS = 8  # of a row of detections
BOX_COLUMNS = slice(2, 6)


class ActionRows(NamedTuple):
    """One row for every box and label, in the file's order.

    frame: number of the key frame.  box: x1, y1, x2, y2.  label: the file's id.  score: 1 in truth.
    """

    frame: Int[np.ndarray, " n"]
    box: Float[np.ndarray, "n 4"]
    label: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]


class KeyFrames:
    """Numbers for key frames, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.numbers: dict[KeyFrame, int] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def number(self, video: str, second: float) -> int:
        return self.numbers.setdefault((video, second), len(self.numbers))


def read_label_map(path: Path) -> dict[int, str]:
    """{id: name} of `label { name: "..." label_id: N }` blocks (`item` and `id` are known too)."""
    text = read_text(path)
    pairs = re.findall(r'name:\s*"([^"]*)"\s+(?:label_)?id:\s*(-?[0-9]{1,9})', text)
    labels = {int(number): name for name, number in pairs}
    if not labels:
        raise InputError(f'{path}: no labels; expected blocks with name: "..." and label_id: N')
    if min(labels) < 1:
        raise InputError(f"{path}: label id {min(labels)}; ids of a label map count from 1")
    return labels


def counted_labels(path: str) -> list[int]:
    """Ids of the classes that an evaluation counts: those of the label map in `data.labels`."""
    if not path:
        raise InputError(
            "data.labels: expected the label map of the classes that count "
            "(ava_action_list_v2.2_for_activitynet_2019.pbtxt)"
        )
    return sorted(read_label_map(path_to(path)))


def read_excluded(path: Path, frames: KeyFrames) -> set[int]:
    """Numbers of the key frames in rows `video,second`, which no evaluation counts."""
    return {
        frames.number(row[0], _second(row[1], where))
        for where, row in rows_of(path, (2,), "seconds")
    }


def read_truth(
    path: Path, frames: KeyFrames, labels: Iterable[int]
) -> tuple[ActionRows, set[int], int]:
    """The truth's rows of some labels, every key frame that the file mentions, and how many rows
    have another label. A row of two columns is a key frame without people; an empty class a person
    without action.

    InputError names the line where a column is missing, no number, below 0 or above 1, where the
    sides of a box are exchanged, and where a label is below 1.
    """
    mentioned: set[int] = set()

    def note(frame: int) -> None:
        mentioned.add(frame)

    rows, unlisted = _read(path, frames, labels, note, scored=False)
    return rows, mentioned, unlisted


def read_detections(path: Path, frames: KeyFrames, labels: Iterable[int]) -> tuple[ActionRows, int]:
    """The detections' rows of some labels, and how many rows have another label. Boxes may be
    degenerate or beyond the frame: the metric leaves out the former."""
    return _read(path, frames, labels, lambda frame: None, scored=True)


def rows_of_people(
    boxes: Float[np.ndarray, "people 4"],
    scores: Float[np.ndarray, "people labels"],
    frame: int,
    threshold: float = 0.0,
) -> ActionRows:
    """A row for every person and label of one key frame with a score of at least `threshold`;
    boxes are shares of the frame, and the first column is label 1."""
    person, label = np.nonzero(scores >= threshold)
    numbers = np.full(len(person), frame, np.int64)
    return ActionRows(numbers, boxes[person], label + 1, scores[person, label])


def write_detections(
    path: Path, frames: Sequence[KeyFrame], rows: ActionRows, names: Mapping[int, str] | None = None
) -> None:
    """Rows as AVA's programs read them: five decimals, seconds of four digits, CRLF line ends.

    frames: the key frame of each number.  names: checks that every label is one of them.
    """
    if names is not None and not set(np.unique(rows.label).tolist()) <= set(names):
        strange = sorted(set(np.unique(rows.label).tolist()) - set(names))
        raise InputError(f"{path}: label ids {strange} are not in the label map")
    with (
        atomic_write(Path(path)) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        for frame, box, label, score in zip(*rows, strict=True):
            video, second = frames[frame]
            numbers = [f"{value:.5f}" for value in box]
            writer.writerow([video, f"{int(second):04d}", *numbers, int(label), f"{score:.5f}"])


def _read(
    path: Path,
    frames: KeyFrames,
    labels: Iterable[int],
    note: Callable[[int], None],
    *,
    scored: bool,
) -> tuple[ActionRows, int]:
    listed, unlisted = frozenset(labels), 0
    rows: list[tuple[int, list[float], int, float]] = []
    widths, what = ((COLUMNS,), "detections") if scored else ((2, 7, COLUMNS), "truth")
    for where, row in rows_of(path, widths, what):
        frame = frames.number(row[0], _second(row[1], where))
        note(frame)
        if len(row) == 2 or (not scored and not row[6]):
            continue
        label, box = (
            _label(row[6], where),
            [finite_number(value, where) for value in row[BOX_COLUMNS]],
        )
        if not scored:
            check_box(box, where)
        if label not in listed:
            unlisted += 1
            continue
        score = finite_number(row[7], where) if scored else 1.0
        rows.append((frame, box, label, score))
    found = ActionRows(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[2] for row in rows], np.int64),
        np.array([row[3] for row in rows], np.float64),
    )
    return found, unlisted


def rows_of(path: Path, widths: tuple[int, ...], what: str) -> Iterator[tuple[str, list[str]]]:
    """("FILE:LINE", columns) of every row that is not empty."""
    lines = read_lines(path)
    with reading(path, what):
        reader = csv.reader(lines)
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if row and len(row) not in widths:
                expected = " or ".join(str(width) for width in widths)
                raise InputError(f"{where}: {len(row)} columns; expected {expected} of {what}")
            if row:
                yield where, row


def finite_number(text: str, where: str) -> float:
    """The number that a text of a file's line is; InputError names the line where it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {text!r} is no finite number")
    return value


def _second(text: str, where: str) -> float:
    return round(finite_number(text, where), 6)


def _label(text: str, where: str) -> int:
    value = finite_number(text, where)
    if value != int(value) or not 1 <= value < 2**31:
        raise InputError(f"{where}: class {text!r}; ids count from 1")
    return int(value)


def check_box(box: list[float], where: str) -> None:
    """Refuses coordinates outside 0 and 1, and sides exchanged, by the file's line."""
    x1, y1, x2, y2 = box
    if min(box) < 0 or max(box) > 1:
        raise InputError(f"{where}: box {box} is not within 0 and 1; expected shares of the frame")
    if x2 < x1 or y2 < y1:
        raise InputError(f"{where}: box {box}; expected x1 <= x2 and y1 <= y2")
