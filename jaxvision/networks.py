"""Published and shipped networks by their names, and where their weights lie."""

import importlib
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jaxvision.data.class_lists import class_list
from jaxvision.downloads.object_store import fetch_object
from jaxvision.downloads.published_file import PublishedFile, fetch
from jaxvision.downloads.shipped import shipped, shipped_names
from jaxvision.errors import InputError, nearest
from jaxvision.registry import METHODS, load_config, make_task
from jaxvision.stores.local_copies import cache_folder
from jaxvision.stores.store import is_address
from jaxvision.weights.official import OfficialModel


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The network called "<method>/<variant>"; `tensors`: the names in a file about to be read."""
    method, variant = network_called(name)
    module = _pretrained(method)
    if module is None:
        raise InputError(f"{METHODS[method].title} ({method}) has no published networks here yet")
    if (demo := shipped(name)) is not None:
        task = make_task(load_config(demo.recipe, [f"dtype={dtype}"]))
        return module.network_of(task, name)
    return module.official_model(variant, tensors, dtype)


def network_called(name: str) -> tuple[str, str]:
    """(method, variant) of "<method>/<variant>"; InputError where it is no such name."""
    method, slash, variant = str(name).partition("/")
    if method not in METHODS or not slash:
        known = f"; jaxvision list {name}" if name in METHODS else nearest(method, METHODS)
        raise InputError(f"{name or repr(name)}: expected METHOD/NETWORK{known}")
    return method, variant


def recognise(tensors: Mapping[str, Any], source: str) -> OfficialModel:
    """The network whose official tensors a file holds, whichever method's it is."""
    for method in METHODS:
        module = _pretrained(method)
        network = module.recognise(tensors) if module else None
        if network is not None:
            return network
    raise InputError(
        f"{source}: its tensors ({', '.join(list(tensors)[:3])} ...) are of no published network "
        "known here"
    )


def published(method: str) -> list[dict[str, str]]:
    """A method's published weights: `network`, `file`, and what else is known of each, by name."""
    module = _pretrained(method)
    return module.published() if module else []


def names_of(network: OfficialModel) -> tuple[str, ...]:
    """The names of an official network's classes, () where they are not known."""
    return class_list(network.class_list) if network.class_list else network.class_names


def locate(source: str | Path) -> Path:
    """Where weights lie: `source` itself, those that are shipped for a demo ("emavfi/demo"), or a
    published file by the name of its network ("videomae/vit_b_k710") or its own
    ("umt/b16_25m.pth"), or the address of a file in an object store ("gs://bucket/w.pth"), fetched
    if it is not here yet."""
    if not str(source):
        raise InputError("weights: an empty name; expected a file, a folder or METHOD/NETWORK")
    if is_address(str(source)):
        return fetch_object(str(source), cache_folder(), partial(print, file=sys.stderr))
    path, name = Path(source), str(source)
    method, slash, rest = name.partition("/")
    if path.exists() or not slash or method not in METHODS:
        return path
    if (demo := shipped(name)) is not None:
        return demo.folder
    rows = [PublishedFile.of_row(row) for row in published(method)]
    found = [row for row in rows if row.network == name or row.file == rest]
    if not found:
        known = [*(row.network for row in rows), *shipped_names()]
        raise InputError(
            f"{source}: no such file, and no published weights of that name{nearest(name, known)}"
        )
    if len(found) > 1:
        files = ", ".join(f"{method}/{row.file}" for row in found)
        raise InputError(f"{source}: published as several files: name one of {files}")
    return fetch(found[0], say=partial(print, file=sys.stderr))


def _pretrained(method: str) -> Any:
    """The module of a method that knows its published networks, or None where it has none yet."""
    name = f"jaxvision.methods.{method}.pretrained"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            return None
        raise
