"""A training step of CamLiFlow: losses inside groups, gradients, batch norms, and its dtypes."""

from collections.abc import Iterator
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.methods.camliflow.variants import RaftConfig
from jaxvision.methods.camliflow.weights import entries
from jaxvision.registry import load_config, make_task
from jaxvision.weights.mapping import flatten, unflatten

SMALL = ("model.pyramid=(64,48,40,32,16)", "data.points=96", "train.batch_size=4")


def task_of(network: str, *more: str) -> Any:
    settings = (f"model.network={network}", "model.training_iterations=2", *SMALL, *more)
    return make_task(load_config("camliflow/demo", settings))


def variables_by_rule(network: RaftConfig) -> dict:
    """Small random kernels, scales and variances of 1, all else 0."""
    rng, values = np.random.default_rng(0), {}
    for entry in entries(network):
        if entry.path is None:
            continue
        shape = entry.layout.ours(np.empty(entry.shape)).shape
        if len(shape) > 1:
            drawn = rng.standard_normal(shape) / np.sqrt(prod(shape[:-1]))
        else:
            drawn = np.full(shape, float(entry.path.endswith(("scale", "var"))))
        values[entry.path] = drawn.astype(np.float32)
    return unflatten(values)


@pytest.fixture(scope="module")
def step():
    """(variables, loss, its parts, new statistics, gradients) of a network of points, in four
    groups of a sample; half of the first sample's truth is invalid."""
    task = task_of("camliraft_l", "train.loss_groups=4")
    source = task.source("train")
    samples = [
        source.transform(source.records[n], np.random.default_rng(n), "pairs") for n in range(4)
    ]
    batch = {name: jnp.stack([s[name] for s in samples]) for name in samples[0]}
    batch["flow_3d"] = batch["flow_3d"].at[0, :48, 3].set(0)
    batch["clouds"] = batch["clouds"].at[:, 1].set(batch["clouds"][:, 0])
    variables = variables_by_rule(task.network)
    core = variables["params"]["core"]
    core["point_context"] = core["point_features"]

    def loss(params, rest, batch):
        value, aux = task.loss({"params": params, **rest}, batch, jax.random.key(0), True)
        return value, (aux.metrics, aux.state)

    params, rest = variables["params"], {"batch_stats": variables["batch_stats"]}
    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (metrics, state)), grads = run(params, rest, batch)
    return variables, float(value), metrics, flatten(state), flatten(grads)


def test_a_network_of_points_has_one_loss_and_measures_every_point(step):
    _, value, metrics, _, _ = step
    total, size = metrics["loss_3d"]
    assert value == pytest.approx(float(total / size))
    assert value > 0
    # As published, points that are not valid count, too: 48 of 4 * 96.
    assert float(metrics["epe3d"][1]) == 384


def test_gradients_reach_every_parameter(step):
    grads = step[-1]
    assert all(np.isfinite(g).all() for g in grads.values())
    dead = [path for path, g in grads.items() if not np.abs(g).sum() > 0]
    assert not dead


def test_norms_that_see_both_frames_are_updated_twice(step):
    """Both clouds and both encoders are the same: one update leaves a tenth of the mean in the
    statistics of what sees the first alone, two leave 0.1 + 0.9 * 0.1 of it."""
    variables, _, _, state, _ = step
    assert state.keys() == flatten({"batch_stats": variables["batch_stats"]}).keys()
    once, twice = (
        np.asarray(state[f"batch_stats/core/{part}/conv_1/norm/mean"])
        for part in ("point_context", "point_features")
    )
    assert np.abs(once).max() > 1e-3
    np.testing.assert_allclose(twice, 1.9 * once, rtol=1e-4, atol=1e-7)


def contractions(jaxpr: Any) -> Iterator[tuple[str, Any, float]]:
    """(primitive, dtype of its operands, size of its larger operand) of each product."""
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for inner in value if isinstance(value, (list, tuple)) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from contractions(inner)
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            operands = [v.aval for v in equation.invars]
            size = max(prod(a.shape) for a in operands)
            yield equation.primitive.name, operands[0].dtype, size


@pytest.mark.parametrize("network", ["camliraft", "camlipwc"])
def test_features_are_in_the_runs_dtype_and_flows_in_float32(network):
    published = ("model.width=128", "model.levels=4", "model.radius=4", "model.lookup=on_demand")
    task = task_of(network, "dtype=bfloat16", "data.size=(128,128)", *published)
    specs = task.batch_specs("train")["pairs"]
    variables = jax.eval_shape(task.init, jax.random.key(0))

    def run(variables, batch):
        return task.predict(variables, batch, jax.random.key(0))

    traced = jax.make_jaxpr(run)(variables, specs)
    assert all(a.dtype == jnp.float32 for a in traced.out_avals)
    found = list(contractions(traced.jaxpr))
    convolutions = {dtype for name, dtype, _ in found if name == "conv_general_dilated"}
    assert convolutions == {jnp.dtype(jnp.bfloat16)}
    wide = sum(size for _, dtype, size in found if dtype == jnp.float32)
    assert wide < 0.3 * sum(size for *_, size in found)
