"""Norms against their definitions written out; batch norm per group of the batch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.nn import normalization
from jaxvision.nn.normalization import BatchNorm, LayerNorm

X = np.random.default_rng(0).normal(2, 3, (8, 5, 4)).astype(np.float32)


def apply(groups, x=X, valid=None):
    norm = BatchNorm(groups)
    variables = {
        "params": {"scale": np.full(4, 2, np.float32), "bias": np.ones(4, np.float32)},
        "batch_stats": {"mean": np.full(4, 0.5, np.float32), "var": np.full(4, 9, np.float32)},
    }

    @jax.jit
    def train(variables, x):
        return norm.apply(variables, x, False, valid, mutable=["batch_stats"])

    out, state = train(variables, x)
    evaluated = jax.jit(lambda v, x: norm.apply(v, x, True))(variables, x)
    return out, state["batch_stats"], evaluated


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_each_group_has_its_own_statistics(groups):
    out, running, _ = apply(groups)
    parts = X.reshape(groups, -1, 4)
    mean, var = parts.mean(1, keepdims=True), parts.var(1, keepdims=True)
    expected = (2 * (parts - mean) / np.sqrt(var + 1e-5) + 1).reshape(X.shape)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    # The buffers are the first process's, with the unbiased variance.
    first = parts[0]
    np.testing.assert_allclose(running["mean"], 0.9 * 0.5 + 0.1 * first.mean(0), rtol=1e-5)
    np.testing.assert_allclose(running["var"], 0.9 * 9 + 0.1 * first.var(0, ddof=1), rtol=1e-5)


def test_evaluation_uses_the_running_statistics():
    _, _, evaluated = apply(1)
    np.testing.assert_allclose(evaluated, 2 * (X - 0.5) / np.sqrt(9 + 1e-5) + 1, rtol=1e-5)


def test_padding_does_not_count():
    valid = np.ones((8, 5), bool)
    valid[3:, 2:] = False
    x = np.where(valid[..., None], X, 1e3)
    out, running, _ = apply(1, x, valid)
    rows = X[valid]
    expected = 2 * (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) + 1
    np.testing.assert_allclose(np.asarray(out)[valid], expected, atol=1e-4)
    np.testing.assert_allclose(running["mean"], 0.9 * 0.5 + 0.1 * rows.mean(0), rtol=1e-4)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_both_forms_of_the_sums_have_the_same_gradients(norm, platform, monkeypatch):
    """Against the definition, differentiated by JAX."""
    monkeypatch.setattr(normalization, "platform", lambda: platform)
    rng = np.random.default_rng(1)
    weight = jnp.asarray(rng.normal(size=X.shape), jnp.float32)
    params = {name: jnp.asarray(rng.normal(size=4), jnp.float32) for name in ("scale", "bias")}
    axes = (0, 1) if norm == "batch" else -1

    def ours(params, x):
        if norm == "layer":
            return LayerNorm().apply({"params": params}, x)
        stats = {"mean": jnp.zeros(4), "var": jnp.ones(4)}
        variables = {"params": params, "batch_stats": stats}
        return BatchNorm().apply(variables, x, False, mutable=["batch_stats"])[0]

    def defined(params, x):
        epsilon = 1e-6 if norm == "layer" else 1e-5
        centred = x - x.mean(axes, keepdims=True)
        deviation = jnp.sqrt(jnp.square(centred).mean(axes, keepdims=True) + epsilon)
        return centred / deviation * params["scale"] + params["bias"]

    def both(norm):
        return jax.jit(jax.value_and_grad(lambda p, x: jnp.sum(weight * norm(p, x)), (0, 1)))

    found, expected = (both(norm)(params, jnp.asarray(X)) for norm in (ours, defined))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)
