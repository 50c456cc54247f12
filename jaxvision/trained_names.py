"""What the outputs of trained weights are called, and a task that calls its classes so."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxvision.data.labels import check_same_names
from jaxvision.downloads.shipped import shipped
from jaxvision.errors import InputError
from jaxvision.export import DESCRIPTION
from jaxvision.networks import names_of, official_model
from jaxvision.text_files import read_json
from jaxvision.training.run_record import class_names_of
from jaxvision.training.task import Task
from jaxvision.weights import convert


def class_names(source: str | Path) -> tuple[str, ...]:
    """What the outputs of a classifier mean, in order.

    source: a network, e.g. "videomae/vit_b_k400"; the workdir of a run; a folder of `jaxvision
    export` or `convert`. InputError where it is not known.
    """
    demo = shipped(str(source))
    path = demo.folder if demo else Path(source)
    if (path / DESCRIPTION).is_file():
        names = tuple(read_json(path / DESCRIPTION, {"classes?": [str]}).get("classes", ()))
    elif convert.is_converted(path):
        names = names_in_folder(convert.load(path).origin)
    elif path.is_dir():
        names = class_names_of(path)
    else:
        names = names_of(official_model(str(source)))
    if not names:
        raise InputError(f"{source}: what its classes are called is not known")
    return names


def names_in_folder(origin: convert.Origin) -> tuple[str, ...]:
    """Of converted weights: the run's, else the network's, () where they are not known."""
    with contextlib.suppress(InputError):  # of a network that has no name of its own: an encoder
        return origin.classes or names_of(official_model(origin.network, origin.names))
    return ()


def names_of_chain(links: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The class names of the runs that links of an `init` take as they are, () where none does.
    InputError where two have others."""
    found: tuple[str, ...] = ()
    for link in links:
        demo = shipped(link["from"])
        path = demo.folder if demo else Path(link["from"])
        if link.keys() <= {"from", "to"} and not link.get("to") and path.is_dir():
            converted = convert.is_converted(path)
            names = convert.load(path).origin.classes if converted else class_names_of(path)
            if found and names:
                check_same_names(names, found, f"init from {link['from']}")
            found = found or tuple(names)
    return found


def check_names_known(task: Task) -> None:
    """InputError where a recipe without weights of its own cannot say what its classes are: what it
    lacks is weights, which know them."""
    try:
        _ = task.class_names
    except InputError as error:
        first = task.config.init[0]["from"]
        raise InputError(
            "no weights: give --workdir or --weights; the recipe's own init "
            f"({first}) is what a training starts from"
        ) from error


def with_names(
    task: Task, names: tuple[str, ...], of_run: bool, compare: bool, must_read: bool = False
) -> Task:
    """`task` with the class names that came with its weights.

    compare: InputError where those of a run are not what its data say, if these are here;
    must_read: and where these cannot be read. An official network's names are taken where the data
    have none: people write them differently.
    """
    has_classes = type(task).names_in_data is not Task.names_in_data
    if not names or not has_classes:
        return task
    in_data: tuple[str, ...] = ()
    if compare or not of_run:
        with contextlib.suppress(*(() if must_read else (InputError,))):
            in_data = task.names_in_data()
    if in_data and not of_run:
        return task
    if in_data:
        check_same_names(in_data, names, task.names_from())
    return replace(task, trained_names=names)
