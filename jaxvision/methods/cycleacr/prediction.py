"""People of films, what they do, and which other seconds that was told by.

The features of all key frames come first; what people do is asked when the film has been read.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxvision.data.actions.json_files import Image, read_detected
from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.conversions import note
from jaxvision.errors import InputError
from jaxvision.methods.cycleacr.head import ActorFeatures
from jaxvision.methods.cycleacr.instances import InstanceConfig
from jaxvision.methods.cycleacr.memory import NO_ROW, Memory, Moment, read_window, window_rows
from jaxvision.methods.cycleacr.model import Detector
from jaxvision.tasks.boxed_people import FilmMoment
from jaxvision.tasks.people_in_films import Detect, People
from jaxvision.viz.files import write_png
from jaxvision.viz.share_table import draw_shares

Table = Mapping[str, np.ndarray]
FirstStage = Callable[[FilmMoment], Table]
SecondStage = Callable[[Table, np.ndarray], tuple[np.ndarray, np.ndarray | None]]

# Of the picture of what each key frame was told by.
AXES = ("rows: key frames with people (s)", "columns: what each was told by (s), bright = much")


def classified_with_shares(
    model: Detector, variables: Any, table: Mapping[str, jax.Array], windows: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
    """Logits of every person of a table's clips, and the attention of each to every slot of the
    seconds around it, at the last level; None of the baseline's."""
    seen = model.config.instances
    exists = table["exists"]
    memory = Memory(table["actor"], exists.sum(axis=-1), jax.numpy.zeros(len(exists)))
    logits, state = model.apply(
        variables,
        ActorFeatures(table["roi"], table["actor"]),
        exists,
        read_window(memory, windows, seen.slots),
        method="classify",
        mutable=["intermediates"],
    )
    if not model.config.cycle:
        return logits, None
    blocks = state["intermediates"]["head"]["instance_interaction"]
    (weights,) = blocks[f"memory_{seen.levels - 1}"]["weights"]
    return logits, weights.reshape(*weights.shape[:2], seen.moments, seen.slots)


class RememberedFilm:
    """The film that is being read: `detector` begins one, `finish` says what its people do."""

    def __init__(
        self,
        first: FirstStage,
        second: SecondStage,
        seen: InstanceConfig,
        *,
        threshold: float,
        classes: int,
    ):
        """first, second: the stages; see `ActionTask.predict_files`.  threshold: least score of a
        detected person."""
        self._first, self._second, self._seen = first, second, seen
        self._threshold, self._classes = threshold, classes
        self._path, self._beyond = Path(), 0  # the film, and how many found no room
        self._tables: dict[int, Table] = {}

    def detector(self, path: Path, size: tuple[int, int], count: int) -> Detect:
        """People of key frame n are those of image n in FILM_people.json. InputError where there is
        no such file, or where it is of another film. Who of it is left out is counted in notes."""
        height, width = size
        images = {n: Image(path.name, n, width, height) for n in range(count)}
        file = path.with_name(f"{path.stem}_people.json")
        if not file.is_file():
            raise InputError(f"{file}: no such file; expected the people of {path.name}")
        people, empty = read_detected(file, images, self._threshold, within=True)
        everyone, _ = read_detected(file, images)
        unsure = sum(int(np.sum(found.scores < self._threshold)) for found in everyone.values())
        least = f"task.box_threshold={self._threshold:g}"
        self._tell(path, unsure, f"people with a score below {least} left out")
        self._tell(path, empty, "empty boxes of people left out")
        self._path, self._tables, self._beyond = path, {}, 0

        def detect(frames: np.ndarray, number: int) -> People:
            if number not in people:
                return People(np.zeros(0), np.zeros((0, self._classes)), np.zeros((0, 4)))
            table = self._first(FilmMoment(frames, images[number], people[number]))
            self._tables[number] = table
            exists = table["exists"]
            self._beyond += len(people[number].boxes) - int(exists.sum())
            unknown = np.zeros((int(exists.sum()), self._classes))
            return People(table["scores"][exists], unknown, table["shares"][exists])

        return detect

    def _tell(self, path: Path, count: int, what: str) -> None:
        if count:
            note(path, what, f"{count} of them")

    def finish(
        self, found: Sequence[People], times: np.ndarray, stem: Path
    ) -> tuple[list[People], list[Path]]:
        """The people with their actions, and the files that say what they were told by:
        NAME_memory.json (of each person, the people of other key frames by their share of its
        attention), and NAME_memory.png with a row for each key frame with people and a column for
        each that it may have looked at."""
        numbers = sorted(self._tables)
        if not numbers:
            return list(found), []
        names = self._tables[numbers[0]]
        room = f"data.test_people={len(names['exists'])}"
        self._tell(self._path, self._beyond, f"people beyond {room} left out")
        table = {name: np.stack([self._tables[n][name] for n in numbers]) for name in names}
        rows: dict[Moment, int] = {("", number): row for row, number in enumerate(numbers)}
        windows = np.stack([window_rows(rows, "", n, self._seen) for n in numbers])
        scores, shares = self._second(table, windows)
        answered = list(found)
        for row, number in enumerate(numbers):
            exists = table["exists"][row]
            people = answered[number]
            answered[number] = people._replace(action=scores[row][exists])
        if shares is None:
            return answered, []
        return answered, self._told(table["exists"], shares, windows, times[numbers], stem)

    def _told(
        self,
        exists: np.ndarray,
        shares: Float[np.ndarray, "k n moments slots"],
        windows: np.ndarray,
        times: np.ndarray,
        stem: Path,
    ) -> list[Path]:
        moments, whole = [], np.zeros((len(times), len(times)))
        for row, time in enumerate(times):
            here = windows[row] != NO_ROW
            columns = windows[row][here]
            for person in np.flatnonzero(exists[row]):
                told = []
                for column, share in zip(columns, shares[row, person][here], strict=True):
                    # Of more people than slots the first are seen; empty slots tell nothing.
                    for other, each in enumerate(share[: int(exists[column].sum())]):
                        whole[row, column] += each
                        told.append(
                            {
                                "time": round(float(times[column]), 3),
                                "person": other,
                                "share": round(float(each), 5),
                            }
                        )
                moments.append(
                    {"time": round(float(time), 3), "person": int(person), "told_by": told}
                )
        written = [stem.with_name(f"{stem.name}_memory{end}") for end in (".json", ".png")]
        with atomic_write(written[0]) as temporary:
            Path(temporary).write_text(json.dumps(moments), encoding="utf-8")
        names = [f"{time:g}" for time in np.round(times, 2)]
        write_png(written[1], draw_shares(whole, names, names, AXES))
        return written
