"""The table of all recipes: one of each network, a line an answer, going on where it stopped."""

import json

import pytest

from jaxvision.cli.main import main
from jaxvision.planning import every_recipe
from jaxvision.planning.plan import Plan
from jaxvision.registry import load_config
from jaxvision.training.config import recipes


def planned(fits=True, **more):
    known = dict(topology="v5e:1x1", mesh={}, bucket="clips", changes={}, fits=fits, parameters=1)
    known |= dict(chips=1, hosts=1, samples=1, memory={}, peak=2.0**30, capacity=2.0**34)
    return Plan(**known, counted_flops=None, executed_flops=1.0, **more)


def test_answers_are_kept_and_not_asked_again(tmp_path):
    file, asked = tmp_path / "plans.jsonl", []
    work = [("a", "v5e"), ("b", "v5e"), ("c", "v5e"), ("d", "v5e")]

    def plan(recipe, machine):
        asked.append(recipe)
        if recipe == "b":
            raise ValueError("XLA says\nno")
        if recipe == "c":
            raise KeyboardInterrupt  # as an out-of-memory kill: nothing of it is written
        return [planned(seconds=0.5, bound="compute")]

    with pytest.raises(KeyboardInterrupt):
        every_recipe.fill(file, work, plan, lambda text: None)
    with file.open("a") as lines:
        lines.write('{"recipe": "d", "mach')
    said = []
    answers = every_recipe.fill(file, work, plan, said.append)
    assert asked == ["a", "b", "c", "d"]
    assert said == ["d on v5e"]
    assert [answer.said for answer in answers] == [
        *("planned", "ValueError: XLA says no", every_recipe.BEGUN, "planned")
    ]
    assert json.loads(file.read_text().splitlines()[1])["plans"][0]["seconds"] == 0.5
    assert every_recipe.fill(file, work, plan, said.append) == answers


def test_a_table_of_each_machine_has_a_row_of_each_bucket():
    fits = planned(seconds=0.5, bound="links", days=2.0, price=3.5)
    remedied = planned(False, remedy={"a.b": 2}, seconds=0.5)
    plans = [fits.as_json(), remedied.as_json() | {"bucket": "pictures"}]
    answers = [
        every_recipe.Answer("x/z", "v5e:2x2", "ValueError: no"),
        every_recipe.Answer("x/y", "v5e:2x2", "planned", plans),
        every_recipe.Answer("x/y", "v5p:2x2x1", "planned", [planned(False).as_json()]),
    ]
    lines = every_recipe.tables(answers).splitlines()
    assert lines[0] == "## v5e:2x2"
    assert lines[4:8] == [
        "| x/y, clips | 1 | yes | 1.00 of 16.00 | 0.5 | links | 48.00 | 3.50 |",
        "| x/y, pictures | 1 | with a.b=2 | 1.00 of 16.00 | 0.5 |  |  |  |",
        "| x/z |  | ValueError: no |  |  |  |  |  |",
        "",
    ]
    assert lines[8] == "## v5p:2x2x1"
    assert lines[12] == "| x/y | 1 | no | 1.00 of 16.00 |  |  |  |  |"
    assert {line.count("|") for line in lines if line.startswith("|")} == {9}


def test_recipes_that_cost_the_same_are_planned_once():
    names = [name for name in recipes() if name.startswith("pdpp/")]
    found = every_recipe.distinct(names, load_config)
    assert "pdpp/demo" not in found
    assert every_recipe.distinct(["link/detection_demo", "link/own_boxes"], load_config) == []
    assert len(set(found)) == len(found) > 3
    twice = every_recipe.distinct(["pdpp/coin", "pdpp/copy"], lambda name: load_config("pdpp/coin"))
    assert twice == ["pdpp/coin"]


def test_of_recipes_that_differ_in_rates_and_batch_the_largest_batch_is_planned():
    of_g = [f"videomae/vit_g_{name}_finetune" for name in ("k400", "k710", "k710_to_hmdb51")]
    batches = [load_config(name).train.batch_size for name in of_g]
    assert len(set(batches)) == 3
    assert every_recipe.distinct(of_g, load_config) == [of_g[batches.index(max(batches))]]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "expected --config RECIPE or --all FILE"),
        (["--config=pdpp/demo", "--all=a.jsonl"], "expected --config RECIPE or --all FILE"),
        (["--config=pdpp/demo"], "expected --topology CHIP:SHAPE"),
        (["--all=a.jsonl", "--weak"], "--all: expected no --weak"),
        (["--all=a.jsonl", "--topology=v9:1"], "v9"),
    ],
)
def test_what_cannot_be_planned_is_refused(words, why, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *words]) == 2
    assert why in capsys.readouterr().err
