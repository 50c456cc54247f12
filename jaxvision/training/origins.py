"""Where a recipe sets its values: file and line of each."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ml_collections
from ml_collections import ConfigDict

from jaxvision.training import config as config_module
from jaxvision.training.config import read_config, split_argument

# Frames of these are never what set a value.
LIBRARY = str(Path(ml_collections.__file__).parent)
ENGINE = (config_module.__file__, __file__)


def origins_of(path: str, overrides: Iterable[str] = ()) -> dict[str, str]:
    """{key: where it was set} of a recipe: "configs/videomae/demo.py:25", or "--config".

    Defaults that nothing set again are left out. `path` and `overrides` are `load_config`'s.
    """
    with _recorded() as places:
        config = read_config(path)
    name = split_argument(path)[0]
    if name.endswith(".json"):
        found = {key: name for key, _ in config_module.leaves(config)}
    else:
        found = dict(_walk(config, places, "", ""))
    return found | {override.partition("=")[0]: "--config" for override in overrides}


# id of a table -> (the table, kept so that no other gets its id; {key: place}).
Places = dict[int, tuple[ConfigDict, dict[str, str]]]


@contextlib.contextmanager
def _recorded() -> Iterator[Places]:
    """Every value that any ConfigDict is given meanwhile, by table and key."""
    places: Places = {}
    plain = ConfigDict.__setitem__

    def set_and_note(self: ConfigDict, key: str, value: Any) -> None:
        plain(self, key, value)
        places.setdefault(id(self), (self, {}))[1][key] = _place()

    # All ways into a ConfigDict (attributes, `update`, its constructor) lead through here.
    ConfigDict.__setitem__ = set_and_note
    try:
        yield places
    finally:
        ConfigDict.__setitem__ = plain


def _place() -> str:
    """FILE:LINE of the innermost caller that is a recipe or a function of one; "" in the engine."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_code.co_filename.startswith(LIBRARY):
        frame = frame.f_back
    name = frame.f_code.co_filename
    return "" if name in ENGINE else f"{_shown(Path(name))}:{frame.f_lineno}"


def _shown(file: Path) -> Path:
    """`file` below this folder or the one the package is in, where it is."""
    for folder in (Path.cwd(), Path(__file__).parents[2]):
        if file.absolute().is_relative_to(folder):
            return file.absolute().relative_to(folder)
    return file


def _walk(table: ConfigDict, places: Places, prefix: str, above: str) -> Iterator[tuple[str, str]]:
    """(key, place) of every value; one that was not set by itself came with its table."""
    noted = places.get(id(table), (table, {}))[1]
    for key, value in table.items():
        place = noted.get(key) or above
        if isinstance(value, ConfigDict) and value:
            yield from _walk(value, places, f"{prefix}{key}.", place)
        elif place:
            yield f"{prefix}{key}", place
