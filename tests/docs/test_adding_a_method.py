"""The method that docs/adding_a_method.md adds: its files from the page, its commands in order."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

import jaxvision.methods
from jaxvision import registry
from jaxvision.cli.main import main
from jaxvision.data.labelled_pictures import Digits
from jaxvision.training.config import leaves, load_config

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_method.md"
FEW_STEPS = ["--config.train.steps=10", "--config.log.pictures_every_steps=10"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def added(tmp_path, monkeypatch) -> Path:
    """A folder with the page's files, from which their method can be imported and run."""
    for block in blocks("python"):
        name, text = block.split("\n", 1)
        path = tmp_path / name.removeprefix("# ")
        if path.name == "registry.py":
            monkeypatch.setattr(registry, "METHODS", dict(registry.METHODS))
            exec(text, vars(registry))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    methods = [*jaxvision.methods.__path__, str(tmp_path / "jaxvision" / "methods")]
    monkeypatch.setattr(jaxvision.methods, "__path__", methods)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("jaxvision.methods.perceptron")]:
        del sys.modules[name]


@pytest.mark.xdist_group("cli")
def test_the_page_adds_a_method_that_trains_evaluates_and_predicts(added, capsys):
    digit = Digits("validation")[0]
    digit["picture"].resize((80, 80), Image.Resampling.NEAREST).save("digit.png")
    commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    assert [words[1] for words in commands] == ["inspect", "train", "evaluate", "predict"]
    for program, *words in commands:
        assert program == "jaxvision"
        few = FEW_STEPS if words[0] in ("inspect", "train") else []
        assert main([*words, *few]) == 0, capsys.readouterr().err
        if words[0] == "inspect":
            shown = capsys.readouterr().out
            assert re.search(
                r"model\.width +64 +configs/perceptron/demo\.py:\d+ +of the hid", shown
            )
            assert "hidden/kernel" in shown
    last = Path("runs/perceptron/metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 10
    assert json.loads(Path("runs/perceptron/config.json").read_text())["model"]["width"] == 32
    # Ten steps of 64 digits teach far more than guessing one of ten.
    results = json.loads(Path("results/results.json").read_text())
    assert results["validation/accuracy"] > 0.3
    (answer,) = json.loads(Path("answers/predictions.json").read_text()).values()
    assert answer["probability"] > 0.1
    assert Image.open("answers/digit.png").size == (80, 120)


def test_every_setting_of_the_page_is_described(added):
    lines = registry.settings("perceptron")
    config = load_config("perceptron/demo").to_dict()
    assert all(registry.line_about(key, lines) for key, _ in leaves(config))


def test_the_page_touches_no_file_of_the_package():
    named = [block.split("\n", 1)[0].removeprefix("# ") for block in blocks("python")]
    package = PAGE.parents[1]
    assert [name for name in named if (package / name).exists()] == ["jaxvision/registry.py"]
