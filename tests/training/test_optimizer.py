"""Groups, schedules and scaling, against optimizers written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.training import schedules
from jaxvision.training.config import base_config
from jaxvision.training.optimizer import make_optimizer
from jaxvision.training.packing import packs
from jaxvision.training.task import Group

PARAMS = {"stack": np.arange(1, 7, dtype=np.float32).reshape(3, 2), "bias": np.ones(2, np.float32)}
GRADS = {"stack": np.full((3, 2), 0.5, np.float32), "bias": np.array([1.0, -2.0], np.float32)}
PLAIN = {"stack": Group(), "bias": Group(decay=0.0)}


def step(groups=PLAIN, steps=1, batch_size=1, **settings):
    optim = base_config().optim
    optim.learning_rate = {"name": "constant", "value": 0.1}
    for name, value in settings.items():
        optim[name] = value
    optimizer = make_optimizer(optim, groups, batch_size, 10, 5)
    params, state = PARAMS, optimizer.transform.init(PARAMS)
    for number in range(steps):
        updates, state = optimizer.transform.update(GRADS, state, params, step=jnp.int32(number))
        params = jax.tree.map(lambda p, u: p + u, params, updates)
    return params


def constant(value):
    return {"name": "constant", "value": value}


def test_adamw_decays_apart_from_the_gradient():
    params = step(name="adamw", weight_decay=constant(0.5), eps=0.0)
    # The first Adam step is the sign of the gradient.
    np.testing.assert_allclose(params["stack"], PARAMS["stack"] * (1 - 0.05) - 0.1, rtol=1e-6)
    np.testing.assert_allclose(params["bias"], [0.9, 1.1], rtol=1e-6)


def test_adam_and_sgd_add_the_decay_to_the_gradient():
    params = step(name="sgd", momentum=0.0, weight_decay=constant(0.5))
    expected = PARAMS["stack"] - 0.1 * (0.5 + 0.5 * PARAMS["stack"])
    np.testing.assert_allclose(params["stack"], expected, rtol=1e-6)
    params = step(name="adam", eps=0.0, weight_decay=constant(0.5))
    np.testing.assert_allclose(params["stack"], PARAMS["stack"] - 0.1, rtol=1e-6)


def test_sgd_with_momentum():
    params = step(name="sgd", momentum=0.9, steps=2)
    np.testing.assert_allclose(params["bias"], 1 - 0.1 * np.array([1, -2]) * (1 + 1.9), rtol=1e-6)


def test_a_factor_per_stacked_layer():
    lr, train = np.array([1.0, 0.5, 0.0]), np.array([True, True, False])
    groups = {"stack": Group(train=train, lr=lr, decay=np.array([0.0, 1.0, 1.0])), "bias": Group()}
    params = step(groups, name="sgd", momentum=0.0, weight_decay=constant(1.0))
    decayed = GRADS["stack"] + np.array([[0], [1], [1]]) * PARAMS["stack"]
    np.testing.assert_allclose(
        params["stack"], PARAMS["stack"] - 0.1 * lr[:, None] * decayed, rtol=1e-6
    )
    np.testing.assert_array_equal(params["stack"][2], PARAMS["stack"][2])


def test_clipping_is_by_the_norm_of_all_gradients():
    norm = np.sqrt(6 * 0.25 + 5)
    params = step(name="sgd", momentum=0.0, clip_norm=1.0)
    np.testing.assert_allclose(params["bias"], 1 - 0.1 * GRADS["bias"] / norm, rtol=1e-6)


def test_learning_rates_scale_with_the_batch_and_decay_does_not():
    params = step(
        name="sgd", momentum=0.0, batch_size=512, batch_scaling=256, weight_decay=constant(0.5)
    )
    expected = PARAMS["stack"] - 0.2 * (0.5 + 0.5 * PARAMS["stack"])
    np.testing.assert_allclose(params["stack"], expected, rtol=1e-6)


def test_a_schedule_of_the_first_moment():
    ramp = {"name": "cosine", "peak": 0.9, "end": 0.0, "warmup_steps": 0}
    with_ramp = step(name="adam", eps=0.0, steps=3, b1_schedule=ramp)
    rates = schedules.make(ramp, 10, 5)(np.arange(3))
    moment, expected = np.zeros(2), np.ones(2)
    for count, b1 in enumerate(np.float64(rates), 1):
        moment = b1 * moment + (1 - b1) * GRADS["bias"]
        expected -= 0.1 * moment / (1 - b1**count) / np.abs(GRADS["bias"])
    np.testing.assert_allclose(with_ramp["bias"], expected, rtol=1e-5)


def test_a_group_names_its_learning_rate():
    groups = {"stack": Group(schedule="branch_3d", lr=0.5), "bias": Group()}
    rates = {"branch_3d": {"name": "stairs", "values": (0.4, 0.2), "at_steps": (1,)}}
    settings = {"name": "sgd", "momentum": 0.0, "schedules": rates, "steps": 2}
    params = step(groups, **settings)
    np.testing.assert_allclose(params["stack"], PARAMS["stack"] - 0.5 * 0.6 * 0.5, rtol=1e-6)
    np.testing.assert_allclose(params["bias"], 1 - 0.2 * GRADS["bias"], rtol=1e-6)
    # The batch-scaling rule holds for it as for the other.
    params = step(groups, **settings, batch_size=512, batch_scaling=256)
    np.testing.assert_allclose(params["stack"], PARAMS["stack"] - 0.6 * 0.5, rtol=1e-6)


def test_a_schedule_that_no_table_holds_is_refused():
    groups = {"stack": Group(schedule="branch_3b"), "bias": Group()}
    message = r"no schedule 'branch_3b' in optim.schedules .*; did you mean 'branch_3d'\?"
    with pytest.raises(InputError, match=message):
        step(groups, schedules={"branch_3d": constant(0.1)})


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(InputError, match=r"optim.name 'adamx'; did you mean 'adam'\?"):
        step(name="adamx")


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_packed_moments_change_no_update(name):
    lr = np.array([1.0, 0.5, 0.0])
    for groups in (PLAIN, {"stack": Group(), "bias": Group()}, {**PLAIN, "stack": Group(lr=lr)}):
        settings = {"weight_decay": constant(0.5), "clip_norm": 0.7, "steps": 3}
        expected, found = (
            step(groups, name=name, packed=packed, **settings) for packed in (False, True)
        )
        for path, leaf in expected.items():
            np.testing.assert_allclose(found[path], leaf, rtol=1e-6)


def test_leaves_of_equal_groups_make_one_vector():
    groups = {"a": Group(), "b": {"c": Group(), "d": Group(lr=2.0)}, "e": Group(lr=np.ones(3))}
    assert sorted(packs(groups).values()) == [["a", "b/c"], ["b/d"], ["e"]]
