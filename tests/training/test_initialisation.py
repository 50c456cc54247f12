"""Chains of initial weights, reported parameter by parameter."""

import json

import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.training import initialisation
from jaxvision.weights.mapping import flatten, unflatten

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


def apply(*chain, source=SOURCE):
    chain = [{"from": "weights", **link} for link in chain]
    values, reports = initialisation.apply(unflatten(TARGET), chain, lambda _: unflatten(source))
    return flatten(values), reports


def test_what_does_not_fit_is_listed():
    with pytest.raises(InputError) as error:
        apply({})
    assert "params/head/kernel (3, 4) for params/head/kernel (3, 2)" in str(error.value)
    assert "params/head/bias (4,) for params/head/bias (2,)" in str(error.value)
    assert "use rename, drop or select_rows" in str(error.value)


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


def test_later_links_win():
    other = {"drop": ("head/", "norm/")}
    values, reports = apply({"drop": ("head/",)}, other)
    assert len(reports) == 2
    np.testing.assert_array_equal(values["batch_stats/norm/mean"], 7)


def test_a_misspelt_key_is_refused():
    with pytest.raises(InputError, match=r"init: unknown key 'renam'; did you mean 'rename'\?"):
        apply({"renam": ()})
    with pytest.raises(InputError, match=r"select_rows: nowhere\.json"):
        apply({"select_rows": {"head/": "nowhere.json"}})
