"""Every setting is described once, an old name says the new one, and where a recipe set what."""

import json
import re

import pytest

from jaxvision import registry
from jaxvision.cli.main import main, missing_setting
from jaxvision.errors import InputError
from jaxvision.training import config as engine
from jaxvision.training.config import as_json, base_config, leaves, load_config, recipes
from jaxvision.training.origins import origins_of

RUNNING = [name for name, method in registry.METHODS.items() if method.status != "planned"]


def tables_of(key: str) -> set[str]:
    """A key and all tables it is in: {"a.b.c", "a.b", "a"}."""
    parts = key.split(".")
    return {".".join(parts[: depth + 1]) for depth in range(len(parts))}


@pytest.mark.parametrize("method", RUNNING)
def test_every_setting_is_described_once(method):
    keys = {
        key
        for name in recipes()
        if name.startswith(f"{method}/")
        for key, _ in leaves(load_config(name))
    }
    lines = registry.settings(method)
    nameless = {key for key in keys if not registry.line_about(key, lines)}
    # An empty table has no settings to describe.
    assert not nameless, "describe them in the method's settings.py"
    used = set().union(*map(tables_of, keys))
    assert not lines.keys() - used, "no recipe has these settings"
    own = registry.method_module(method, "settings").SETTINGS
    assert not own.keys() & dict(leaves(base_config())).keys()
    assert all(line and "\n" not in line for line in lines.values())


def test_a_run_that_lacks_a_setting_of_its_method_is_refused(tmp_path, capsys):
    stored = as_json(load_config("pdpp/demo"))
    del stored["task"]["classifier"]
    file = tmp_path / "config.json"
    file.write_text(json.dumps(stored))
    assert main(["inspect", "--config", str(file)]) == 2
    assert "the config has no setting 'classifier', which is read here" in capsys.readouterr().err


@pytest.mark.parametrize("read", [lambda table: table.words, lambda table: table["words"]])
def test_a_missing_setting_is_one_line_however_it_is_read(read):
    with pytest.raises((AttributeError, KeyError)) as error:
        read(load_config("umt/demo").data)
    assert "the config has no setting 'words'" in missing_setting(error.value)


def test_a_line_at_a_table_speaks_for_its_settings():
    lines = {"optim.rate": "a schedule", "optim.b1": "a decay"}
    assert registry.line_about("optim.rate.peak.value", lines) == "a schedule"
    assert registry.line_about("optim.b1", lines) == "a decay"
    assert registry.line_about("optim.b2", lines) == ""


def test_a_renamed_setting_says_its_new_name(tmp_path, capsys):
    message = r"^config key 'task\.stage' is now called 'task\.name'$"
    # As an override,
    with pytest.raises(InputError, match=message):
        registry.load_config("pdpp/demo", ["task.stage=planner"])
    with pytest.raises(InputError, match=r"no config key 'task\.stge'"):
        registry.load_config("pdpp/demo", ["task.stge=planner"])
    # in a recipe,
    config = load_config("pdpp/demo")
    registry.make_task(config)
    with config.unlocked():
        config.task.stage = "planner"
    with pytest.raises(InputError, match=message):
        registry.make_task(config)
    # and in a run that is to go on.
    (tmp_path / "config.json").write_text(json.dumps(as_json(config)))
    assert main(["train", "--config=pdpp/demo", f"--workdir={tmp_path}"]) == 2
    assert "config key 'task.stage' is now called 'task.name'" in capsys.readouterr().err


def test_a_renamed_setting_of_the_engine_says_its_new_name(monkeypatch, tmp_path):
    monkeypatch.setitem(engine.RENAMED_KEYS, "optim.rate", "optim.learning_rate")
    stored = as_json(load_config("pdpp/demo"))
    (tmp_path / "config.json").write_text(json.dumps(stored))
    load_config(str(tmp_path / "config.json"))
    stored["optim"]["rate"] = stored["optim"].pop("learning_rate")
    (tmp_path / "config.json").write_text(json.dumps(stored))
    message = r"^config key 'optim\.rate' is now called 'optim\.learning_rate'$"
    with pytest.raises(InputError, match=message):
        load_config(str(tmp_path / "config.json"))
    with pytest.raises(InputError, match=message):
        load_config("pdpp/demo", ["optim.rate=1.0"])


SHARED = """
def shared(config):
    config.task.three = 3
"""
RECIPE = """
from jaxvision.training.config import base_config
from shared_between_recipes import shared

def get_config():
    config = base_config()
    config.task = {"one": 1,
                   "two": {"deep": 2}}
    shared(config)
    config.data.update({"four": 4})
    config.optim.b2 = 0.95
    config.train["steps"] = 10
    return config
"""


def test_where_each_value_was_set(tmp_path, monkeypatch):
    (tmp_path / "shared_between_recipes.py").write_text(SHARED)
    (tmp_path / "recipe.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = engine.ConfigDict.__setitem__
    assert origins_of("recipe.py", ["optim.eps=1e-6", "task.one=7"]) == {
        "task.one": "--config",
        "task.two.deep": "recipe.py:7",
        "task.three": "shared_between_recipes.py:3",
        "data.four": "recipe.py:10",
        "optim.b2": "recipe.py:11",
        "train.steps": "recipe.py:12",
        "optim.eps": "--config",
    }
    assert engine.ConfigDict.__setitem__ is before


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_value_of_a_recipe_was_set_somewhere(name):
    defaults, nothing = dict(leaves(base_config().to_dict())), object()
    config, origins = load_config(name).to_dict(), origins_of(name)
    places = [origins[key] for key, value in leaves(config) if value != defaults.get(key, nothing)]
    assert all(
        re.fullmatch(r"(configs|jaxvision/(methods|tasks))/.*\.py:\d+", place) for place in places
    )
