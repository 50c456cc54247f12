"""One dispatch for every method: `config.task.name` against a table."""

import pytest
from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.tasks import dispatch


class Segmentation:
    def __init__(self, config):
        self.config = config


class Detection(Segmentation):
    pass


TASKS = {"segmentation": Segmentation, "detection": Detection}
RENAMED_KEYS = {"task.network": "task.name", "repeats": "task.passes"}


def config(**task):
    return ConfigDict({"method": "toy", "task": task})


def test_the_named_task_is_made():
    made = dispatch.make(TASKS, config(name="detection"), RENAMED_KEYS)
    assert type(made) is Detection
    assert made.config.task.name == "detection"


@pytest.mark.parametrize("name", ["detecton", "Detection"])
def test_an_unknown_name_gets_the_nearest(name):
    with pytest.raises(InputError, match=rf"task.name '{name}' of toy.*did you mean 'detection'"):
        dispatch.make(TASKS, config(name=name))


def test_no_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"task\.name None of toy.*detection, segmentation"):
        dispatch.make(TASKS, config())


def test_an_old_key_is_refused_with_the_new_one():
    with pytest.raises(InputError, match=r"'task\.network' is now called 'task\.name'"):
        dispatch.make(TASKS, config(name="detection", network="x"), RENAMED_KEYS)
    old = config(name="detection")
    old.repeats = 2
    with pytest.raises(InputError, match=r"'repeats' is now called 'task\.passes'"):
        dispatch.make(TASKS, old, RENAMED_KEYS)
