"""Official names both ways: nothing missing, nothing left over, the same bytes back."""

import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.methods.pdpp import weights
from jaxvision.methods.pdpp.classifier import TaskClassifier
from jaxvision.methods.pdpp.diffusion import cosine_schedule
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.state import StateLayout
from jaxvision.weights import to_state_dict, to_variables

MODEL = TemporalUNet(StateLayout(5, 7, 12), 32, (1, 2))


def official() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    entries = weights.planner_entries(MODEL, 50)
    state_dict = {e.name: draw.normal(size=e.shape).astype(np.float32) for e in entries}
    tables = cosine_schedule(50).tables()
    return state_dict | {f"module.{name}": table for name, table in tables.items()}


def test_planner_round_trip():
    entries = weights.planner_entries(MODEL, 50, "params/planner")
    state_dict = official()
    variables, unused = to_variables(state_dict, entries)
    assert set(variables["params"]) == {"planner"}
    assert len(unused) == 12
    back = to_state_dict(variables, entries, unused)
    assert list(back) == list(state_dict)
    for name, tensor in state_dict.items():
        np.testing.assert_array_equal(back[name], tensor)


def test_classifier_round_trip():
    entries = weights.classifier_entries(TaskClassifier(5, 12), "params/classifier")
    draw = np.random.default_rng(0)
    state_dict = {e.name: draw.normal(size=e.shape).astype(np.float32) for e in entries}
    variables, _ = to_variables(state_dict, entries)
    back = to_state_dict(variables, entries)
    assert list(back) == [f"module.fc{n}.{k}" for n in range(1, 5) for k in ("weight", "bias")]
    for name, tensor in state_dict.items():
        np.testing.assert_array_equal(back[name], tensor)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.pop("module.model.final_conv.1.bias"), "missing: module.model.final_conv.1"),
        (lambda d: d.update({"module.model.extra": np.zeros(1)}), "unexpected: module.model.extra"),
        (lambda d: d.update({"module.betas": np.zeros(200)}), r"module.betas \(200,\) for \(50,\)"),
    ],
)
def test_files_that_do_not_match_are_refused(change, named):
    state_dict = official()
    change(state_dict)
    with pytest.raises(InputError, match=named):
        to_variables(state_dict, weights.planner_entries(MODEL, 50))
