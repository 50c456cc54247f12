"""The films of a recipe: key frames with people, and how large a memory of them is."""

from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from jaxvision.data.actions.film_figures import FilmFigures
from jaxvision.data.actions.key_frames import own_key_frames, tube_key_frames
from jaxvision.data.actions.own_lists import read_own_list
from jaxvision.errors import InputError
from jaxvision.methods.cycleacr.memory import Moment, moments_code, row_numbers
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks import boxed_people
from jaxvision.tasks.listed_people import listed
from jaxvision.tasks.tube_scores import tubes_of

DATA_NAMES = ("figures", "ava", "tubes", "own")
# AVA 2.2: films, and annotated seconds of each, 902 to 1798.
AVA_FILMS, AVA_SECONDS = 235, 897
# A memory has a multiple of these rows, so that meshes of up to as many devices split it evenly.
ROWS_MULTIPLE = 256
Records = FilmFigures | boxed_people.BoxedMoments


def is_here(config: ConfigDict) -> bool:
    """Whether the training's annotations can be looked at."""
    data = config.data
    if data.name == "figures":
        return True
    file = data[training_file(config)]
    return bool(file) and path_to(file).is_file()


def training_file(config: ConfigDict) -> str:
    """The setting under `data` that says what is trained on."""
    return "tubes" if config.data.name == "tubes" else "train"


def has_validation(config: ConfigDict) -> bool:
    """Whether there is anything to evaluate."""
    return config.data.name == "tubes" or bool(config.data.validation)


def records_of(config: ConfigDict, split: str, names: Sequence[str]) -> Records:
    """The key frames of "train" (annotated people) or "validation" (those of `data.boxes`; without
    such a file the annotated ones of figures, tubes and own lists). InputError where nobody is on
    any of them.  names: of the actions."""
    records, data = _records(config, split, names), config.data
    if not len(records):
        asked = split == "validation" and data.boxes
        key = training_file(config) if split == "train" or data.name == "tubes" else split
        place = f"data.boxes={data.boxes}" if asked else f"data.{key}={data[key]}"
        told = f"; {records.summary()}" if isinstance(records, boxed_people.BoxedMoments) else ""
        least = f" with a score of at least {config.task.box_threshold:g}" if asked else ""
        raise InputError(f"{place}: nobody{least} on any key frame{told}")
    return records


def _records(config: ConfigDict, split: str, names: Sequence[str]) -> Records:
    data = config.data
    if split == "train" or data.name == "figures":
        return annotated(config, split, names)
    if data.name != "ava":
        boxes = path_to(data.boxes) if data.boxes else None
        return _listed(config, split, names, boxes)
    if not data.boxes:
        raise InputError("data.boxes: expected a file of detected people")
    files = path_to(data.validation), path_to(data.boxes), path_to(data.root)
    return boxed_people.detected(*files, data.classes, config.task.box_threshold)


def annotated(config: ConfigDict, split: str, names: Sequence[str]) -> Records:
    """The annotated people of "train" or "validation".  names: of the actions."""
    data = config.data
    if data.name == "figures":
        return FilmFigures(
            films=int(data[split]),
            seconds=data.seconds,
            seed=config.seed + 7919 * (split == "validation"),
            frames=span_of(config),
            side=data.side,
        )
    if data.name == "ava":
        return boxed_people.annotated(path_to(data[split]), path_to(data.root), data.classes)
    return _listed(config, split, names)


def _listed(
    config: ConfigDict, split: str, names: Sequence[str], detected: Path | None = None
) -> boxed_people.BoxedMoments:
    data, root = config.data, path_to(config.data.root)
    if data.name == "tubes":
        truth = tubes_of(config)
        videos = truth.split(data.split, "train" if split == "train" else "test")
        frames = tube_key_frames(truth, videos, root, data.template)
        return listed(frames.items, 1.0, detected, config.task.box_threshold)
    if not data[split]:
        raise InputError(f"data.{split}: expected a file of annotations")
    moments = read_own_list(path_to(data[split]), names, data.unit)
    frames = own_key_frames(moments, root, data.unit)
    return listed(frames.items, data.every, detected, config.task.box_threshold)


def span_of(config: ConfigDict) -> int:
    """Frames of a film that a clip reaches over."""
    return config.model.frames * config.task.stride


def memory_rows(moments: Sequence[Moment] | None) -> int:
    """Rows of a memory of these moments, and some more that stay empty (see ROWS_MULTIPLE). None:
    of AVA's, where the data are elsewhere."""
    seconds = AVA_FILMS * AVA_SECONDS if moments is None else len(row_numbers(moments))
    return -(-seconds // ROWS_MULTIPLE) * ROWS_MULTIPLE


def memory_code(moments: Sequence[Moment] | None) -> int:
    """What tells a memory of these moments from others; 0 where the data are elsewhere."""
    return 0 if moments is None else moments_code(moments)
