"""The pre-norm block against numpy; outputs of several blocks; blocks taken one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.special import erf

from jaxvision.errors import InputError
from jaxvision.nn.transformer import Block, BlockConfig, TransformerStack, block_parameters

CLIP = BlockConfig(8, 2, fused_bias=True, activation="quick_gelu", norm_epsilon=1e-5)
DEPTH = 4
X = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
ROWS = np.array([[4, 0], [1, 3]])


def filled(module, *arguments):
    """Parameters of `module`, every one drawn."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.normal(0, 0.4, leaf.shape).astype(np.float32), nn.unbox(shapes)
    )


def run(module, variables, *arguments, **options):
    return jax.jit(lambda v: module.apply(v, *arguments, **options))(variables)


def norm_by_hand(p, x, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return scaled * p["scale"] + p["bias"]


ACTIVATIONS = {
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
}


def block_by_hand(config, p, x):
    """(result, attention weights)."""
    attention = p["attention"]
    y = norm_by_hand(p["attention_norm"], x, config.norm_epsilon)
    query, key, value = np.einsum("bnd,dshk->sbhnk", y, attention["qkv"]["kernel"])
    if config.fused_bias:
        biases = attention["qkv"]["bias"][:, None, :, None]
        query, key, value = query + biases[0], key + biases[1], value + biases[2]
    else:
        query = query + attention["query_bias"][:, None]
        value = value + attention["value_bias"][:, None]
    if config.cosine_attention:
        query, key = (y / np.linalg.norm(y, axis=-1, keepdims=True) for y in (query, key))
        query = query * np.exp(attention["scale"])[:, None, None] * np.sqrt(config.head_dim)
    scores = np.einsum("bhnk,bhmk->bhnm", query, key) / np.sqrt(config.head_dim)
    powers = np.exp(scores)
    weights = powers / powers.sum(-1, keepdims=True)
    mixed = np.einsum("bhnm,bhmk,hkd->bnd", weights, value, attention["out"]["kernel"])
    x = x + mixed + attention["out"]["bias"]
    y = norm_by_hand(p["mlp_norm"], x, config.norm_epsilon)
    y = ACTIVATIONS[config.activation](y @ p["mlp"]["up"]["kernel"] + p["mlp"]["up"]["bias"])
    return x + y @ p["mlp"]["down"]["kernel"] + p["mlp"]["down"]["bias"], weights


# No softmax tells whether the key has a bias; that of cosines does.
COSINE = dataclasses.replace(CLIP, cosine_attention=True)


@pytest.mark.parametrize(
    "config", [CLIP, COSINE, BlockConfig(8, 2)], ids=["clip", "cosine", "video"]
)
def test_a_block(config):
    variables = filled(Block(config), X, 0.0)
    assert ("bias" in variables["params"]["attention"]["qkv"]) == config.fused_bias
    assert ("query_bias" in variables["params"]["attention"]) != config.fused_bias
    wanted, weights = block_by_hand(config, variables["params"], X.astype(float))
    got, nothing = run(Block(config), variables, X, 0.0)
    np.testing.assert_allclose(got, wanted, atol=2e-5)
    assert nothing is None
    got, its_weights = run(Block(config, return_weights=True), variables, X, 0.0)
    np.testing.assert_allclose(got, wanted, atol=2e-5)
    np.testing.assert_allclose(its_weights, weights, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_tokens_that_are_masked_as_keys_have_no_say(dropout):
    """The others are answered as if those were not there, on the paths with and without weights."""
    config = dataclasses.replace(CLIP, attention_dropout=dropout)
    stack = TransformerStack(config, 2)
    variables = filled(stack, X)
    mask = np.array([[True, True, False, True, False]] * 2)
    got = stack.apply(variables, X, key_mask=mask)
    seen = np.flatnonzero(mask[0])
    np.testing.assert_allclose(got[:, seen], stack.apply(variables, X[:, seen]), atol=2e-5)
    assert np.abs(got - stack.apply(variables, X)).max() > 1e-2


@pytest.mark.parametrize("cosine", [False, True])
def test_a_block_that_answers_for_some_tokens(cosine):
    """Their results and weights are those that the whole block gives them."""
    block = Block(dataclasses.replace(CLIP, cosine_attention=cosine), return_weights=True)
    variables = filled(block, X, 0.0)
    whole, weights = run(block, variables, X, 0.0)
    some, some_weights = run(block, variables, X, 0.0, ROWS)
    sample = np.arange(2)[:, None]
    np.testing.assert_allclose(some, whole[sample, ROWS], atol=1e-5)
    np.testing.assert_allclose(
        some_weights, np.swapaxes(np.swapaxes(weights, 1, 2)[sample, ROWS], 1, 2), atol=1e-6
    )


@pytest.mark.parametrize("remat", ["none", "full"])
def test_outputs_of_the_last_blocks(remat):
    config = dataclasses.replace(CLIP, remat=remat)
    stack = TransformerStack(config, DEPTH)
    variables = filled(stack, X)
    outputs, x = [], X.astype(float)
    for n in range(DEPTH):
        x, _ = block_by_hand(config, block_parameters(variables["params"], n), x)
        outputs.append(x)
    np.testing.assert_allclose(run(stack, variables, X), outputs[-1], atol=1e-4)
    for last in range(1, DEPTH + 1):
        got = run(stack, variables, X, last_outputs=last)
        np.testing.assert_allclose(got, outputs[-last:], atol=1e-4)
    with pytest.raises(InputError, match="last_outputs 5: expected 0 to 4"):
        run(stack, variables, X, last_outputs=5)


def test_gradients_of_the_last_outputs():
    stack = TransformerStack(CLIP, DEPTH)
    variables = filled(stack, X)
    cotangent = np.random.default_rng(2).standard_normal((2, *X.shape)).astype(np.float32)

    def by_scan(params):
        return jnp.sum(stack.apply({"params": params}, X, last_outputs=2) * cotangent)

    def by_blocks(params):
        x, total = X, 0.0
        for n in range(DEPTH):
            one = {"params": block_parameters(params, n)}
            x, _ = Block(CLIP).apply(one, x, 0.0)
            if n >= DEPTH - 2:
                total += jnp.sum(x * cotangent[n - DEPTH + 2])
        return total

    ours, theirs = (jax.jit(jax.grad(f))(variables["params"]) for f in (by_scan, by_blocks))
    for got, wanted in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4 * max(1, np.abs(wanted).max()))


def test_outputs_that_nobody_asked_for_are_not_kept():
    stack = TransformerStack(CLIP, 12)
    x = jnp.zeros((1, 256, 8))
    variables = filled(stack, x)

    def temporaries(last: int) -> int:
        summed = jax.jit(lambda v: jnp.sum(stack.apply(v, x, last_outputs=last)))
        return summed.lower(variables).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(12) - temporaries(2) >= 9 * x.nbytes


def test_dropped_paths_do_not_depend_on_what_is_kept():
    config = dataclasses.replace(CLIP, dropout=0.2, attention_dropout=0.2, drop_path=0.5)
    stack = TransformerStack(config, DEPTH)
    variables = filled(stack, X)
    draws = {"dropout": jax.random.key(7)}
    alone = run(stack, variables, X, False, rngs=draws)
    kept = run(stack, variables, X, False, last_outputs=3, rngs=draws)
    np.testing.assert_allclose(kept[-1], alone, atol=1e-5)


def test_a_run_of_blocks_is_a_shorter_stack():
    variables = filled(TransformerStack(CLIP, DEPTH), X)
    first = {"params": {"blocks": block_parameters(variables["params"], slice(0, -1))}}
    x = run(TransformerStack(CLIP, DEPTH - 1), first, X)
    last = {"params": block_parameters(variables["params"], -1)}
    got, _ = run(Block(CLIP), last, x, 0.0)
    wanted = run(TransformerStack(CLIP, DEPTH), variables, X)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_parameters_of_a_block_keep_no_names_of_axes_that_are_gone():
    boxed = TransformerStack(CLIP, DEPTH).init(jax.random.key(0), X)["params"]
    one = block_parameters(boxed, 2)
    assert one["mlp"]["up"]["kernel"].shape == (8, 32)
