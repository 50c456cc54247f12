"""Recipes, overrides, and what is refused."""

import ast

import pytest

from jaxvision.errors import InputError
from jaxvision.training.config import (
    as_json,
    base_config,
    check_choices,
    difference,
    load_config,
    recipe_arguments,
    recipes,
    run_recipe,
)
from jaxvision.training.run_record import write_json


def test_overrides_keep_the_type_they_replace(tmp_path):
    overrides = [
        "optim.clip_norm=2",
        "data.root=/some/where",
        "model.image_size=(32,32)",
        "task.probe=false",
        "train.steps=7",
    ]
    config = load_config("videomae/demo", overrides)
    assert config.optim.clip_norm == 2.0
    assert isinstance(config.optim.clip_norm, float)
    assert config.data.root == "/some/where"
    assert tuple(config.model.image_size) == (32, 32)
    assert config.task.probe is False
    assert config.train.steps == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.clip_nrom=1.0", "no config key 'optim.clip_nrom'; did you mean 'optim.clip_norm'?"),
        ("optim.lr=1.0", "no config key 'optim.lr'; did you mean 'optim.learning_rate'?"),
        ("trian.steps=1", "no config key 'trian'; did you mean"),
        ("train.steps=many", "config key 'train.steps': expected int like 3000, got 'many'"),
        ("train.steps=1.5", "config key 'train.steps': expected int"),
        ("task.probe=1", "config key 'task.probe': expected bool"),
        ("train.steps", "expected --config.train.steps=VALUE"),
        ("train=1", "config key 'train' is a table; set one of accumulate"),
        (f"optim.clip_norm={'9' * 400}", "config key 'optim.clip_norm': expected float"),
        (f"train.steps={'-' * 100_000}1", "config key 'train.steps': expected int"),
    ],
)
def test_a_wrong_override_is_refused(override, message):
    with pytest.raises(InputError) as error:
        load_config("videomae/demo", [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_of_ones_own_names_is_given_whole():
    config = load_config("link/own", ["data.classes={'road': (40,), 'tree': [70, 71]}"])
    assert config.data.classes.to_dict() == {"road": (40,), "tree": (70, 71)}
    assert load_config("link/kitti_minkunet", ["data.classes={'road': (40,)}"]).data.classes
    for override in ("mesh={'data': 2}", "train={'steps': 3}"):
        with pytest.raises(InputError, match="is a table; set one of"):
            load_config("link/own", [override])
    with pytest.raises(InputError, match=r"is a table; expected one like {'ground': \(1,\)}"):
        load_config("link/own", ["data.classes={'road': 40}"])
    with pytest.raises(InputError, match=r"expected {'name': value, \.\.\.}"):
        load_config("link/kitti_minkunet", ["data.classes=road"])


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(InputError, match=r"no config file .*; did you mean 'videomae/demo'\?"):
        load_config("configs/videomae/deno.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:", "SyntaxError"),
        ("x = 1", "defines no get_config()"),
        ("import jaxvisoin", "No module named 'jaxvisoin'"),
        ("rate = 1\nrate /= 0", "recipe.py:2: ZeroDivisionError"),
        ("def get_config():\n    return [][0]", "recipe.py:2: IndexError"),
    ],
)
def test_a_broken_recipe_is_one_line(tmp_path, text, message):
    file = tmp_path / "recipe.py"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        load_config(str(file))
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


RECIPE_WITH_ARGUMENTS = """
from jaxvision.training.config import base_config, recipe_arguments

def get_config(arguments: str = ""):
    config = base_config()
    given = recipe_arguments(arguments, gpus=0, size="b", rate=0.5, flip=True)
    config.task = vars(given)
    return config
"""


def test_a_recipe_takes_arguments(tmp_path):
    file = tmp_path / "recipe.py"
    file.write_text(RECIPE_WITH_ARGUMENTS)
    as_it_is = {"gpus": 0, "size": "b", "rate": 0.5, "flip": True}
    assert load_config(str(file)).task.to_dict() == as_it_is == run_recipe(file).task.to_dict()
    config = load_config(f"{file}:gpus=1,flip=false,rate=2", ["task.size=l"])
    assert config.task.to_dict() == {"gpus": 1, "size": "l", "rate": 2.0, "flip": False}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpsu=1", "no recipe argument 'gpsu'; did you mean 'gpus'?"),
        ("gpus", "recipe argument 'gpus': expected gpus=VALUE"),
        ("gpus=many", "recipe argument 'gpus': expected int like 0, got 'many'"),
        ("gpus=1.5", "recipe argument 'gpus': expected int like 0, got '1.5'"),
        ("gpus=0", "recipe argument 'gpus': expected at least 1, got 0"),
        ("size=b,gpus=-8", "recipe argument 'gpus': expected at least 1, got -8"),
    ],
)
def test_a_wrong_recipe_argument_is_refused(text, message):
    with pytest.raises(InputError) as error:
        recipe_arguments(text, gpus=0, size="b")
    assert str(error.value) == message


def test_a_recipe_without_arguments_refuses_them(tmp_path):
    with pytest.raises(InputError, match=r"videomae/demo\.py: takes no arguments, got 'gpus=1'"):
        load_config("videomae/demo:gpus=1")
    write_json(tmp_path / "config.json", as_json(load_config("videomae/demo")))
    with pytest.raises(InputError, match=r"config\.json: the config of a run takes no arguments"):
        load_config(f"{tmp_path / 'config.json'}:gpus=1")
    with pytest.raises(InputError, match=r"no config file 'videomae/deno'; did you mean"):
        load_config("videomae/deno:gpus=1")


def test_the_config_of_a_run_can_be_read_back(tmp_path):
    config = load_config("videomae/demo")
    write_json(tmp_path / "config.json", as_json(config))
    again = load_config(str(tmp_path / "config.json"))
    assert difference(as_json(config), as_json(again)) == []


def test_an_older_run_lacks_newer_settings_of_the_engine(tmp_path):
    config = load_config("videomae/demo")
    stored = as_json(config)
    del stored["optim"]["schedules"], stored["train"]["loss_groups"], stored["frozen"]
    write_json(tmp_path / "config.json", stored)
    again = load_config(str(tmp_path / "config.json"))
    assert difference(as_json(again), as_json(config)) == []
    stored["optim"]["b2"] = 0.5
    write_json(tmp_path / "config.json", stored)
    again = load_config(str(tmp_path / "config.json"))
    assert difference(as_json(again), as_json(config)) == ["optim.b2: 0.5 -> 0.99"]
    stored["frozen"] = 3
    write_json(tmp_path / "config.json", stored)
    with pytest.raises(InputError, match=r"config\.json: cannot be read as the config of a run"):
        load_config(str(tmp_path / "config.json"))


def test_difference_leaves_out_how_a_run_is_carried_out():
    old = as_json(load_config("videomae/demo"))
    overrides = ["mesh.data=4", "log.every_steps=7", "data.workers=2", "optim.b2=0.5"]
    new = as_json(load_config("videomae/demo", overrides))
    assert difference(old, new) == ["optim.b2: 0.99 -> 0.5"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dtype", "float16", "dtype 'float16': expected 'float32' or 'bfloat16'"),
        ("evaluate.weights", "ema", "evaluate.weights is 'ema' but ema.decay is 0"),
        ("train.epochs", 1.0, "set exactly one of train.steps and train.epochs, which are"),
        ("train.accumulate", 3, "train.accumulate=3 does not divide train.batch_size=16"),
        ("train.norm_groups", 3, "train.norm_groups=3 does not divide 16 records"),
        ("train.loss_groups", 5, "train.loss_groups=5 does not divide 16 records"),
        ("log.every_steps", 0, "log.every_steps is 0: expected at least 1"),
    ],
)
def test_a_setting_no_run_can_have_is_refused(key, value, message):
    config = base_config()
    config.train.steps, config.train.batch_size = 10, 16
    node, name = config, key
    if "." in key:
        table, name = key.split(".")
        node = config[table]
    node[name] = value
    with pytest.raises(InputError, match=message):
        check_choices(config)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_recipe_resolves_and_can_be_run(name):
    config = load_config(name)
    check_choices(config)
    assert config.method == name.split("/")[0]
    docstring = ast.get_docstring(ast.parse(recipes()[name].read_text()))
    assert docstring, "a recipe says what it is and how it is run"
