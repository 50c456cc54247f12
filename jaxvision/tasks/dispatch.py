"""From `config.task.name` to the task: one rule for every method."""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from jaxvision.errors import InputError, nearest
from jaxvision.training.config import leaves, refuse_renamed
from jaxvision.training.task import Task

# A method's TASKS: by name, a class or function that makes a task of a config.
Tasks = Mapping[str, Callable[[ConfigDict], Task]]


def make(tasks: Tasks, config: ConfigDict, renamed: Mapping[str, str] | None = None) -> Task:
    """The task of `tasks` that `config.task.name` names.

    renamed: the method's RENAMED_KEYS, {"task.objective": "task.name", ...}. InputError for a
    config of an older version that still has one of those keys, which gives the new one, and for an
    unknown name, which gives the nearest.
    """
    refuse_renamed(dict(leaves(config)), renamed or {})
    name = config.task.get("name")
    if name not in tasks:
        raise InputError(f"task.name {name!r} of {config.method}{nearest(str(name), tasks)}")
    return tasks[name](config)
