"""Every published recipe, at every published horizon, without data."""

import jax
import pytest

from jaxvision.errors import InputError
from jaxvision.registry import make_task
from jaxvision.training import schedules
from jaxvision.training.config import load_config

# Parameters of the planner and the classifier, measured on the reference.
PUBLISHED = {
    "crosstask_how": ((3, 4, 5, 6), 41_830_779, 7_094_290),
    "crosstask_base": ((3, 4, 5, 6), 52_160_763, 276_582_418),
    "coin": ((3, 4), 42_900_414, 7_177_396),
    "niv": ((3, 4), 41_741_109, 7_087_621),
}


def sizes(task) -> dict[str, int]:
    shapes = jax.eval_shape(task.init, jax.random.key(0))["params"]
    return {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in shapes.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_at_every_horizon(name):
    horizons, planner, classifier = PUBLISHED[name]
    for horizon in horizons:
        task = make_task(load_config(f"pdpp/{name}", [f"data.horizon={horizon}"]))
        assert sizes(task) == {"planner": planner, "classifier": classifier}
        alone = make_task(load_config(f"pdpp/{name}_classifier", [f"data.horizon={horizon}"]))
        assert sizes(alone) == {"classifier": classifier}


def test_published_baseline_size():
    config = load_config("pdpp/crosstask_how", ["task.baseline=noise", "data.horizon=6"])
    assert sizes(make_task(config))["planner"] == 39_463_035


# Step of the peak, and steps at which the rate is first halved, quartered, ...
@pytest.mark.parametrize(
    ("name", "peak", "halved"),
    [
        ("crosstask_how", 4000, (10_000, 16_000, 22_000)),
        ("crosstask_base", 2000, (5000, 8000, 11_000)),
        ("coin", 26_667, (66_667, 106_667, 146_667)),
        ("niv", 1084, (2709, 4334, 5959)),
    ],
)
def test_published_learning_rates(name, peak, halved):
    config = load_config(f"pdpp/{name}")
    table = config.optim.learning_rate.to_dict()
    rate = schedules.make(table, config.train.steps, 1)
    assert float(rate(0)) == 0
    assert float(rate(peak)) == pytest.approx(table["peak"], rel=1e-3)
    for times, step in enumerate(halved, 1):
        assert float(rate(step + 1)) == pytest.approx(table["peak"] * 0.5**times, rel=1e-6)
        assert float(rate(step - 2)) == pytest.approx(table["peak"] * 0.5 ** (times - 1), rel=1e-6)


@pytest.mark.parametrize(
    ("recipe", "override", "named"),
    [
        (
            "crosstask_how",
            "data.horizon=7",
            "data.horizon 7: crosstask_how has horizons 3, 4, 5, 6",
        ),
        ("coin", "data.horizon=5", "data.horizon 5: coin has horizons 3, 4"),
        ("demo", "data.horizon=1", "1 levels plans at least 2 steps"),
        ("demo", "model.multipliers=(1,1,1,1)", "4 levels plans at least 4 steps"),
        ("demo", "task.name=plan", "did you mean 'planner'"),
        ("demo", "model.width=40", "model.width=40: expected a multiple of 32"),
        ("demo", "model.multipliers=(2,2,2)", r"model.multipliers=\(2, 2, 2\): expected 1 first"),
        ("demo", "model.multipliers=()", r"model.multipliers=\(\): expected 1 first"),
    ],
)
def test_what_no_recipe_has_is_refused(recipe, override, named):
    with pytest.raises(InputError, match=named):
        make_task(load_config(f"pdpp/{recipe}", [override]))


@pytest.mark.parametrize(
    ("override", "ask", "named"),
    [
        ("task.baseline=noisy", lambda task: task.sampler, "did you mean 'noise'"),
        ("task.classifier=join", lambda task: task.has_classifier, "did you mean 'joint'"),
        ("data.name=crostask_how", lambda task: task.source("train"), "mean 'crosstask_how'"),
        ("data.name=crostask_how", lambda task: task.class_names, "mean 'crosstask_how'"),
        ("data.name=coin", lambda task: task.source("train"), "data.root is empty"),
    ],
)
def test_misspelt_choices_are_refused(override, ask, named):
    task = make_task(load_config("pdpp/demo", [override]))
    with pytest.raises(InputError, match=named):
        ask(task)


def test_the_key_of_an_older_version_is_refused_with_the_new_one():
    config = load_config("pdpp/demo").unlock()
    config.task.stage = config.task.name
    with pytest.raises(InputError, match=r"'task\.stage' is now called 'task\.name'"):
        make_task(config)
