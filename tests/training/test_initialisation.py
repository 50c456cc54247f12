"""Chains of initial weights, reported parameter by parameter."""

import json
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.training import initialisation
from jaxvision.training.run import prepare_run
from jaxvision.weights.mapping import flatten, unflatten
from training.toy import FEATURES, ToyTask, toy_config

TARGET = {
    "params/encoder/kernel": np.zeros((2, 3), np.float32),
    "params/head/kernel": np.zeros((3, 2), np.float32),
    "params/head/bias": np.zeros(2, np.float32),
    "batch_stats/norm/mean": np.zeros(3, np.float32),
}
SOURCE = {
    "params/encoder/kernel": np.ones((2, 3), np.float32),
    "params/head/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "params/head/bias": np.arange(4, dtype=np.float32),
    "batch_stats/norm/mean": np.full(3, 7, np.float32),
}


def apply(*chain, source=SOURCE, target=TARGET, adapt=None):
    chain = [{"from": "weights", **link} for link in chain]
    values, reports = initialisation.apply(
        unflatten(target), chain, lambda _: unflatten(source), adapt
    )
    return flatten(values), reports


def test_what_does_not_fit_is_listed():
    with pytest.raises(InputError) as error:
        apply({})
    assert "params/head/kernel (3, 4) for params/head/kernel (3, 2)" in str(error.value)
    assert "params/head/bias (4,) for params/head/bias (2,)" in str(error.value)
    assert "use rename, drop, layers, select_rows or adapt" in str(error.value)


def test_weights_of_another_network_are_one_short_line():
    source = {f"params/blocks_{n}/attention/projection/kernel": np.ones((4, 4)) for n in range(99)}
    with pytest.raises(InputError, match="99 of its 99 values do not fit: params/") as error:
        apply({}, source=source)
    assert "these are weights of another network" in str(error.value)
    assert len(str(error.value)) < 300


def test_drop_keeps_initial_values_and_says_so():
    values, (report,) = apply({"drop": ("head/",)})
    np.testing.assert_array_equal(values["params/encoder/kernel"], 1)
    np.testing.assert_array_equal(values["params/head/bias"], 0)
    np.testing.assert_array_equal(values["batch_stats/norm/mean"], 7)
    assert report.dropped == ["params/head/kernel", "params/head/bias"]
    assert report.kept == ["params/head/bias", "params/head/kernel"]
    assert str(report) == (
        "weights: 2 parameters loaded, 2 dropped, 2 keep their initial values "
        "(params/head/bias, params/head/kernel)"
    )


def test_rows_of_a_head_are_selected(tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps([3, 0]))
    for rows in ([3, 0], str(tmp_path / "rows.json")):
        values, (report,) = apply({"select_rows": {"head/": rows}})
        np.testing.assert_array_equal(values["params/head/bias"], [3, 0])
        np.testing.assert_array_equal(
            values["params/head/kernel"], SOURCE["params/head/kernel"][:, [3, 0]]
        )
        assert not report.kept


def test_a_subtree_takes_another_models_parameters():
    source = {"params/stack/kernel": np.full((2, 3), 5, np.float32)}
    values, (report,) = apply({"to": "encoder", "rename": (("^stack/", ""),)}, source=source)
    np.testing.assert_array_equal(values["params/encoder/kernel"], 5)
    assert report.loaded == ["params/encoder/kernel"]
    assert report.kept == []


def test_a_subtree_takes_batch_statistics_along():
    target = {f"{path.replace('/', '/teacher/', 1)}": array for path, array in TARGET.items()}
    source = {**SOURCE, "memory/bank": np.ones(3, np.float32)}
    values, (report,) = apply({"to": "teacher", "drop": ("^head/",)}, source=source, target=target)
    np.testing.assert_array_equal(values["batch_stats/teacher/norm/mean"], 7)
    assert report.loaded == ["params/teacher/encoder/kernel", "batch_stats/teacher/norm/mean"]
    assert report.kept == ["params/teacher/head/bias", "params/teacher/head/kernel"]
    # They too must find a place, or be dropped.
    del target["batch_stats/teacher/norm/mean"]
    with pytest.raises(InputError, match="batch_stats/norm/mean has no place"):
        apply({"to": "teacher", "drop": ("^head/",)}, source=source, target=target)


def test_a_link_that_loads_nothing_is_refused():
    with pytest.raises(InputError, match=r"nothing was loaded: \d parameters are there"):
        apply({"drop": (".",)})


def test_layers_of_a_stack():
    source = {"params/stack/kernel": np.arange(6, dtype=np.float32).reshape(3, 2)}
    target = {"params/text/kernel": np.zeros((2, 2), np.float32)}
    link = {"rename": (("/stack/", "/text/"),)}
    values, _ = apply({**link, "layers": {"text": (1, 3)}}, source=source, target=target)
    np.testing.assert_array_equal(values["params/text/kernel"], [[2, 3], [4, 5]])
    for layers in ((2, 4), (-1, 1), (1, 1)):
        with pytest.raises(InputError, match=r"params/stack/kernel \(3, 2\) has no layers"):
            apply({**link, "layers": {"text": layers}}, source=source, target=target)


@dataclass(frozen=True)
class Inflating(ToyTask):
    """Its first layer starts from one of fewer features, each repeated."""

    repeats: int = 2

    def adapt(self, path, value, shape):
        if path != "params/up/kernel":
            return super().adapt(path, value, shape)
        return np.repeat(value, self.repeats, 0) / self.repeats


def adapted(source, repeats=2):
    config = toy_config(init=({"from": "weights", "adapt": True},))
    run = prepare_run(Inflating(config, repeats=repeats), config, jax.devices()[:1])
    state, reports = run.initial_state(lambda _: unflatten(source))
    return flatten(state.params), reports


def test_a_task_adapts_what_does_not_fit():
    kernel = np.arange(FEATURES // 2 * 16, dtype=np.float32).reshape(-1, 16)
    source = {"params/up/kernel": kernel, "params/head/bias": np.full(3, 5, np.float32)}
    params, (report,) = adapted(source)
    np.testing.assert_array_equal(params["up/kernel"], np.repeat(kernel, 2, 0) / 2)
    np.testing.assert_array_equal(params["head/bias"], 5)
    assert set(report.loaded) == set(source)
    with pytest.raises(InputError) as error:
        adapted(source, repeats=3)
    assert "(9, 16) (adapted from (3, 16)) for params/up/kernel (6, 16)" in str(error.value)
    with pytest.raises(InputError, match=r"cannot adapt params/head/bias \(4,\) to \(3,\)"):
        adapted({**source, "params/head/bias": np.zeros(4, np.float32)})
    with pytest.raises(InputError, match="no task is there to adapt"):
        apply({"adapt": True})


def test_later_links_win():
    other = {"drop": ("head/", "norm/")}
    values, reports = apply({"drop": ("head/",)}, other)
    assert len(reports) == 2
    np.testing.assert_array_equal(values["batch_stats/norm/mean"], 7)


def test_a_misspelt_key_is_refused():
    with pytest.raises(InputError, match=r"init: unknown key 'renam'; did you mean 'rename'\?"):
        apply({"renam": ()})
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read"):
        apply({"select_rows": {"head/": "nowhere.json"}})
