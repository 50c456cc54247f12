"""The network on the action part against the network on whole states, and what it costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.methods.pdpp import flops
from jaxvision.methods.pdpp.blocks import convolve_same
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.state import StateLayout, one_hot, project

LAYOUT = StateLayout(5, 7, 12)
# A state as wide as the first level has no shortcut convolution.
SQUARE = StateLayout(5, 7, 20)


def variables_of(model: TemporalUNet, horizon: int):
    """Random weights everywhere: fresh ones have zero convolutions, which would hide mistakes."""
    x = jax.ShapeDtypeStruct((1, horizon, model.layout.width), jnp.float32)
    t = jax.ShapeDtypeStruct((1,), jnp.int32) if model.time_embedding else None
    shapes = jax.eval_shape(model.init, jax.random.key(0), x, t)
    draw = np.random.default_rng(0)
    return jax.tree.map(
        lambda s: draw.normal(size=s.shape).astype(np.float32) / np.sqrt(s.shape[0] + 8),
        jax.tree.map(lambda s: s, shapes, is_leaf=lambda s: hasattr(s, "shape")),
    )


@pytest.mark.parametrize("layout", [LAYOUT, SQUARE], ids=["shortcut", "identity"])
@pytest.mark.parametrize("horizon", [3, 6])
@pytest.mark.parametrize("time_embedding", [True, False])
def test_action_part_equals_whole_state(layout, horizon, time_embedding):
    model = TemporalUNet(layout, 32, (1, 2, 4), time_embedding)
    variables = jax.tree.map(jnp.asarray, variables_of(model, horizon))
    keys = jax.random.split(jax.random.key(1), 4)
    actions = jax.random.normal(keys[0], (4, horizon, layout.actions))
    start, goal = (jax.random.normal(k, (4, layout.observation)) for k in keys[1:3])
    task = one_hot(jnp.array([0, 1, 4, 2]), layout.classes)
    t = jnp.array([0, 3, 40, 49]) if time_embedding else None

    @jax.jit
    def both(variables, actions):
        whole = jnp.zeros((4, horizon, layout.width)).at[..., layout.action_part].set(actions)
        rows = jnp.repeat(task[:, None], horizon, axis=1)
        full = model.apply(variables, project(whole, rows, start, goal, layout), t)
        condition = model.apply(variables, task, start, goal, horizon, method="condition_terms")
        times = None if t is None else model.apply(variables, t, method="time_terms")
        part = model.apply(variables, actions, condition, times, method="predict_actions")
        return full[..., layout.action_part], part

    full, part = both(variables, actions)
    assert float(jnp.std(full)) > 0.01
    np.testing.assert_allclose(part, full, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_taps_equal_a_padded_convolution(length):
    draw = np.random.default_rng(0)
    x, kernel = draw.normal(size=(2, length, 4)), draw.normal(size=(3, 4, 5))
    want = jax.lax.conv_general_dilated(
        x, kernel, (1,), [(1, 1)], dimension_numbers=("NHC", "HIO", "NHC")
    )
    np.testing.assert_allclose(convolve_same(jnp.asarray(x), jnp.asarray(kernel)), want, rtol=1e-5)


def test_a_fresh_network_says_its_bias():
    model = TemporalUNet(LAYOUT, 32)
    x = jax.random.normal(jax.random.key(0), (2, 3, LAYOUT.width))
    t = jnp.array([1, 2])
    variables = jax.jit(model.init)(jax.random.key(1), x, t)
    y = jax.jit(model.apply)(variables, x, t)
    bias = variables["params"]["output"]["bias"].unbox()
    np.testing.assert_allclose(y, jnp.broadcast_to(bias, y.shape), atol=1e-6)


@functools.cache
def published(classes: int, actions: int, observation: int) -> TemporalUNet:
    return TemporalUNet(StateLayout(classes, actions, observation))


# Multiply-adds of one pass, measured on the reference (millions).
@pytest.mark.parametrize(
    ("sizes", "horizon", "millions"),
    [
        ((18, 105, 1536), 3, 52.4),
        ((18, 105, 1536), 6, 170.6),
        ((18, 105, 9600), 3, 83.3),
        ((18, 105, 9600), 6, 232.5),
        ((180, 778, 1536), 3, 55.6),
        ((5, 48, 1536), 3, 52.1),
    ],
)
def test_counted_flops_of_the_reference(sizes, horizon, millions):
    counted = flops.published_pass(published(*sizes), horizon) / 2e6
    assert counted == pytest.approx(millions, rel=0.002)


def test_compiled_flops_are_those_counted():
    """XLA's own count of a pass agrees with the formula the ratio is reported from."""
    model = TemporalUNet(StateLayout(18, 105, 1536), 64)
    horizon, batch = 3, 256
    variables = variables_of(model, horizon)
    actions = jnp.zeros((batch, horizon, 105))
    condition, times = (
        jax.eval_shape(
            lambda v: model.apply(
                v, jnp.zeros((1, 18)), jnp.zeros((1, 1536)), jnp.zeros((1, 1536)), horizon,
                method="condition_terms",
            ),
            variables,
        ),
        jax.eval_shape(
            lambda v: model.apply(v, jnp.zeros((1,), jnp.int32), method="time_terms"), variables
        ),
    )  # fmt: skip
    run = jax.jit(lambda v, x, c, t: model.apply(v, x, c, t, method="predict_actions"))
    cost = run.lower(variables, actions, condition, times).compile().cost_analysis()
    counted = batch * flops.action_pass(model, horizon)
    assert counted <= cost["flops"] <= 1.25 * counted
