"""The methods, and how a recipe becomes a task of one. An eleventh method is one line here."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice
from jaxvision.tasks.tour_stop import Stop
from jaxvision.training import config as engine_config
from jaxvision.training import settings as engine_settings
from jaxvision.training.config import refuse_renamed
from jaxvision.training.sizes import Sizes, check_sizes
from jaxvision.training.task import Task


class Method(NamedTuple):
    """title: as the paper calls it.  paper: its arXiv number.  status: what works today."""

    title: str
    paper: str
    status: str


METHODS = {
    "videomae": Method("VideoMAE V2", "2303.16727", "train, evaluate, predict"),
    "sparseformer": Method("SparseFormer", "2304.03768", "train, evaluate, predict"),
    "cycleacr": Method("CycleACR", "2303.16118", "train, evaluate, predict"),
    "stmixer": Method("STMixer", "2303.15879", "train, evaluate, predict"),
    "link": Method("LinK", "2303.16094", "segmentation and detection: train, evaluate, predict"),
    "umt": Method(
        "Unmasked Teacher",
        "2303.16058",
        "stage 1, fine-tuning, action detection, videos with words: train, evaluate, predict",
    ),
    "pdpp": Method("PDPP", "2303.14676", "train, evaluate, predict"),
    "camliflow": Method("CamLiFlow", "2303.12017", "train, evaluate, predict"),
    "emavfi": Method("EMA-VFI", "2303.00440", "train, evaluate, predict"),
    "comae": Method("CoMAE", "2302.06148", "train, evaluate, predict"),
}


def make_task(config: ConfigDict, trained_names: Iterable[str] = ()) -> Task:
    """The task of `config.method`.  trained_names: see `Task`.

    InputError names the nearest method for an unknown one, and a size that cannot be: see
    `training.sizes`, and SIZES of a method's settings.py.
    """
    check_sizes(config, sizes_of(config.method))
    task = method_module(config.method, "task").make_task(config)
    return replace(task, trained_names=tuple(trained_names)) if trained_names else task


def load_config(path: str, overrides: Iterable[str] = ()) -> ConfigDict:
    """See `training.config.load_config`; an override by a method's old key gets the new name."""
    try:
        return engine_config.load_config(path, overrides)
    except InputError:
        keys = [override.partition("=")[0] for override in overrides]
        refuse_old_keys(engine_config.read_config(path).method, keys)
        raise


def refuse_old_keys(method: str, keys: Iterable[str]) -> None:
    """InputError with the new name where one of `keys` is in the RENAMED_KEYS of a method's task.py
    ({old key: new key})."""
    refuse_renamed(keys, getattr(method_module(method, "task"), "RENAMED_KEYS", {}))


def settings(method: str) -> Mapping[str, str]:
    """{key: a line about it} of the settings of the engine and of a method. A line at a table
    speaks for all in it."""
    engine = {key: line for key, (_, line) in engine_settings.SETTINGS.items()}
    return engine | method_module(method, "settings").SETTINGS


def tour_stops(method: str) -> tuple[Stop, ...]:
    """What `jaxvision tour` shows of a method; () where it shows nothing yet."""
    try:
        return importlib.import_module(f"jaxvision.methods.{method}.tour").STOPS
    except ModuleNotFoundError as error:
        if error.name == f"jaxvision.methods.{method}.tour":
            return ()
        raise


def sizes_of(method: str) -> Sizes:
    """What a method's settings.py says of sizes."""
    return getattr(method_module(method, "settings"), "SIZES", Sizes())


def line_about(key: str, settings: Mapping[str, str]) -> str:
    """The line of `settings` about a setting, or about the innermost table it is in, or ""."""
    while key not in settings and "." in key:
        key = key.rpartition(".")[0]
    return settings.get(key, "")


def method_module(method: str, name: str) -> ModuleType:
    """`jaxvision.methods.<method>.<name>`. InputError where the method is unknown or planned."""
    check_choice("unknown method", method, METHODS)
    try:
        return importlib.import_module(f"jaxvision.methods.{method}.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(f"jaxvision.methods.{method}"):
            raise InputError(f"{METHODS[method].title} ({method}) cannot be run yet") from None
        raise
