"""From `config.task.name` to the task: one rule for every method."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from jaxvision.errors import InputError, nearest
from jaxvision.training.task import Task


def make(
    tasks: Mapping[str, type[Task]], config: ConfigDict, renamed: Mapping[str, str] | None = None
) -> Task:
    """The task of `tasks` (a method's TASKS) that `config.task.name` names.

    renamed: the method's RENAMED_KEYS, {"task.objective": "task.name", ...}. InputError for a
    config of an older version that still has one of those keys, which gives the new one, and for an
    unknown name, which gives the nearest.
    """
    for old, new in (renamed or {}).items():
        if _has(config, old):
            raise InputError(f"config key {old!r} of {config.method} is now called {new!r}")
    name = config.task.get("name")
    if name not in tasks:
        raise InputError(f"task.name {name!r} of {config.method}{nearest(str(name), tasks)}")
    return tasks[name](config)


def _has(config: ConfigDict, key: str) -> bool:
    table, _, last = key.rpartition(".")
    for part in table.split(".") if table else ():
        config = config.get(part, {})
    return last in config
