"""The post-norm layers against numpy, written out layer by layer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.special import erf

from jaxvision.errors import InputError
from jaxvision.nn.bert_layers import BertConfig, BertLayer, BertStack

CONFIG = BertConfig(width=8, heads=2, hidden=12)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 8)).astype(np.float32)
CONTEXT = RNG.standard_normal((2, 3, 6)).astype(np.float32)
MASK = np.array([[True] * 5, [True, True, True, False, False]])
CONTEXT_MASK = np.array([[True, False, True], [True, True, True]])


def filled(module, *arguments, **options):
    """Parameters of `module`, every one drawn."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments, **options))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.normal(0, 0.4, leaf.shape).astype(np.float32),
        nn.unbox(shapes),
    )


def run(module, variables, *arguments, **options):
    return jax.jit(lambda v: module.apply(v, *arguments, **options))(variables)


def norm_by_hand(p, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * p["scale"] + p["bias"]


def attention_by_hand(p, x, context, seen):
    """seen: [b, n, m]."""
    query, key, value = (
        np.einsum("bnd,dhk->bhnk", source, p[name]["kernel"]) + p[name]["bias"][:, None]
        for name, source in (("query", x), ("key", context), ("value", context))
    )
    scores = np.einsum("bhnk,bhmk->bhnm", query, key) / np.sqrt(4)
    # As published: minus ten thousand, not minus infinity.
    powers = np.exp(scores - np.where(seen, 0, 10_000)[:, None] - scores.max())
    weights = powers / powers.sum(-1, keepdims=True)
    mixed = np.einsum("bhnm,bhmk,hkd->bnd", weights, value, p["out"]["kernel"])
    return norm_by_hand(p["norm"], x + mixed + p["out"]["bias"])


def layer_by_hand(p, x, seen, context=None, context_seen=None):
    x = attention_by_hand(p["self_attention"], x, x, seen)
    if context is not None:
        x = attention_by_hand(p["cross_attention"], x, context, context_seen)
    up = x @ p["feed_forward"]["up"]["kernel"] + p["feed_forward"]["up"]["bias"]
    up = up * (1 + erf(up / np.sqrt(2))) / 2
    down = up @ p["feed_forward"]["down"]["kernel"] + p["feed_forward"]["down"]["bias"]
    return norm_by_hand(p["feed_forward"]["norm"], x + down)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("crossed", [False, True])
def test_a_layer(causal, crossed):
    arguments = (X, MASK, CONTEXT, CONTEXT_MASK) if crossed else (X, MASK)
    layer = BertLayer(CONFIG)
    variables = filled(layer, *arguments)
    assert ("cross_attention" in variables["params"]) == crossed
    got = run(layer, variables, *arguments, causal=causal)
    seen = np.broadcast_to(MASK[:, None], (2, 5, 5)) & (~np.array(causal) | np.tri(5, dtype=bool))
    context_seen = np.broadcast_to(CONTEXT_MASK[:, None], (2, 5, 3))
    wanted = layer_by_hand(
        variables["params"], X.astype(float), seen, CONTEXT if crossed else None, context_seen
    )
    np.testing.assert_allclose(got, wanted, atol=2e-5)


def test_a_stack_is_its_layers_in_turn():
    stack, layer = BertStack(CONFIG, 3), BertLayer(CONFIG)
    variables = filled(stack, X, MASK, CONTEXT)
    wanted = X
    for n in range(3):
        one = jax.tree.map(lambda leaf, n=n: leaf[n], variables["params"]["layers"])
        wanted = run(layer, {"params": one}, wanted, MASK, CONTEXT)
    np.testing.assert_allclose(run(stack, variables, X, MASK, CONTEXT), wanted, atol=1e-5)


def test_a_context_serves_neighbouring_rows():
    """As if it were repeated: with masks, and with dropped weights' own path."""
    stack = BertStack(CONFIG, 2)
    x = RNG.standard_normal((6, 5, 8)).astype(np.float32)
    mask = np.repeat(MASK, 3, axis=0)
    variables = filled(stack, x, mask, CONTEXT, CONTEXT_MASK)
    repeated = (np.repeat(part, 3, axis=0) for part in (CONTEXT, CONTEXT_MASK))
    wanted = run(stack, variables, x, mask, *repeated)
    got = run(stack, variables, x, mask, CONTEXT, CONTEXT_MASK)
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    rare = BertStack(dataclasses.replace(CONFIG, dropout=0.0, attention_dropout=1e-7), 2)
    draws = {"dropout": jax.random.key(0)}
    got = run(rare, variables, x, mask, CONTEXT, CONTEXT_MASK, deterministic=False, rngs=draws)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_contexts_that_do_not_divide_the_rows():
    layer = BertLayer(CONFIG)
    variables = filled(layer, X, MASK, CONTEXT)
    x, mask = np.repeat(X, 2, axis=0)[:3], np.repeat(MASK, 2, axis=0)[:3]
    with pytest.raises(InputError, match="2 contexts for 3 rows"):
        layer.apply(variables, x, mask, CONTEXT)


def test_padding_reaches_no_other_token():
    stack = BertStack(CONFIG, 2)
    variables = filled(stack, X, MASK)
    other = np.where(MASK[:, :, None], X, 9.0).astype(np.float32)
    before, after = (run(stack, variables, x, MASK) for x in (X, other))
    np.testing.assert_array_equal(before[MASK], after[MASK])
    assert not np.array_equal(before, after)


def test_dropout_of_almost_nothing_changes_nothing():
    """The path with dropped weights has the same masks and scale."""
    rare = dataclasses.replace(CONFIG, dropout=0.0, attention_dropout=1e-7)
    arguments = (X, MASK, CONTEXT, CONTEXT_MASK)
    variables = filled(BertStack(CONFIG, 2), *arguments)
    draws = {"dropout": jax.random.key(0)}
    got = run(
        BertStack(rare, 2), variables, *arguments, causal=True, deterministic=False, rngs=draws
    )
    wanted = run(BertStack(CONFIG, 2), variables, *arguments, causal=True)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_dropout_draws_differ_and_average_out():
    """Dropout on weights and on branches: off without `deterministic=False`."""
    stack = BertStack(CONFIG, 1)
    variables = filled(stack, X, MASK)

    @jax.jit
    @jax.vmap
    def drawn(key):
        return stack.apply(variables, X, MASK, deterministic=False, rngs={"dropout": key})

    many = drawn(jax.random.split(jax.random.key(0), 200))
    assert float(jnp.abs(many[0] - many[1]).max()) > 0.01
    mean = jnp.mean(many, axis=0)
    assert float(jnp.abs(mean - run(stack, variables, X, MASK)).mean()) < 0.15


def test_bfloat16_and_the_names_of_parameters():
    half = BertStack(BertConfig(width=8, heads=2, hidden=12, dtype=jnp.bfloat16), 2)
    variables = filled(half, X, MASK, CONTEXT)
    got = run(half, variables, X, MASK, CONTEXT)
    assert got.dtype == jnp.bfloat16
    wanted = run(BertStack(CONFIG, 2), variables, X, MASK, CONTEXT)
    error = jnp.linalg.norm(got.astype(jnp.float32) - wanted) / jnp.linalg.norm(wanted)
    assert float(error) < 0.03
    shapes = jax.tree.map(np.shape, variables["params"]["layers"])
    assert shapes["cross_attention"]["key"] == {"kernel": (2, 6, 2, 4), "bias": (2, 2, 4)}
    assert shapes["self_attention"]["out"] == {"kernel": (2, 2, 4, 8), "bias": (2, 8)}
