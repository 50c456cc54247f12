"""Attention: every implementation against the reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxvision.errors import InputError
from jaxvision.ops import dispatch
from jaxvision.ops.attention import IMPLEMENTATIONS as KNOWN
from jaxvision.ops.attention import attention, library, mapped, mosaic_tpu, reference, triton
from tpu_interpreter import STRICT, races_found

# (samples, tokens, heads, width): one of each; a block of lanes; all channels; groups of heads.
# A pair of tokens: queries and keys.
NARROW = [(1, 1, 1, 1), (2, 9, 32, 8), (1, 17, 3, 12), (1, 33, 32, 12)]
# Splash attention pads 130 tokens to 256.
IMPLEMENTATIONS = {
    "mapped": (mapped.attend, [*NARROW, (2, (5, 9), 2, 8), (2, 40, 2, 32)]),
    "mosaic_tpu": (functools.partial(mosaic_tpu.attend, interpret=True), NARROW),
    "triton": (functools.partial(triton.attend, interpret=True), NARROW),
    "splash": (
        functools.partial(library.splash, interpret=True),
        [(1, (3, 130), 1, 64), (2, 130, 2, 64)],
    ),
}
CASES = [(name, shape) for name, (_, shapes) in IMPLEMENTATIONS.items() for shape in shapes]


@functools.cache
def runner(name: str):
    attend = IMPLEMENTATIONS[name][0] if name in IMPLEMENTATIONS else reference.attend

    @jax.jit
    def run(arguments, cotangent):
        value, pull = jax.vjp(attend, *arguments)
        return value, *pull(cotangent)

    return run


def drawn(seed: int, shape, size: float = 1.0):
    rng = np.random.default_rng(seed)
    b, tokens, h, d = shape
    n, m = tokens if isinstance(tokens, tuple) else (tokens, tokens)
    query, key, value, cotangent = (
        np.float32(size) * rng.standard_normal((b, k, h, d), np.float32) for k in (n, m, m, n)
    )
    return (query * np.float32(d**-0.5), key, value), cotangent


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**31), size=st.sampled_from([0.1, 1.0, 3.0]))
@example(seed=7919, size=3.0)
def test_implementations_equal_the_reference(name, shape, seed, size):
    arguments, cotangent = drawn(seed, shape, size)
    wanted = runner("reference")(arguments, cotangent)
    # Where one key has nearly all the weight, a query's gradient is a small difference of terms as
    # large as these, each rounded: beside float64 even the reference is off by a quarter of this.
    query, key, value = arguments
    largest = np.abs(np.einsum("bnhd,bmhd->bhnm", cotangent, value)).max()
    rounding = np.finfo(np.float32).eps * largest * max(np.abs(query).max(), np.abs(key).max())
    for ours, theirs in zip(runner(name)(arguments, cotangent), wanted, strict=True):
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=max(1e-5 * scale, rounding))


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_bfloat16(name):
    arguments, cotangent = drawn(0, IMPLEMENTATIONS[name][1][-1])
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (arguments, cotangent))
    wanted = runner("reference")(arguments, cotangent)
    for ours, theirs in zip(runner(name)(*half), wanted, strict=True):
        assert ours.dtype == jnp.bfloat16
        error = jnp.linalg.norm(ours.astype(jnp.float32) - theirs) / jnp.linalg.norm(theirs)
        assert float(error) < 0.02


@pytest.mark.xdist_group("interpreted_kernels")
def test_no_races_and_no_reads_out_of_bounds_on_a_tpu():
    arguments, cotangent = drawn(1, NARROW[1])
    value, pull = jax.vjp(lambda *a: mosaic_tpu.attend(*a, STRICT), *arguments)
    assert all(bool(jnp.isfinite(g).all()) for g in (value, *pull(cotangent)))
    assert not races_found()


def test_heads_split_over_a_mesh_and_no_collective():
    mesh = jax.make_mesh((2, 1, 2), ("data", "fsdp", "tensor"), devices=jax.devices()[:4])
    sharding = jax.NamedSharding(mesh, jax.P(("data", "fsdp"), None, "tensor"))
    arguments, _ = drawn(3, (4, 6, 4, 8))
    with jax.set_mesh(mesh):
        placed = jax.device_put(arguments, sharding)
        attend = jax.jit(functools.partial(attention, implementation="mapped"))
        compiled = attend.lower(*placed).compile()
        got = compiled(*placed)
    assert got.sharding.is_equivalent_to(sharding, 4)
    assert "all-" not in compiled.as_text()
    np.testing.assert_allclose(got, reference.attend(*arguments), atol=1e-6)


def softmax_by_hand(query, key, value, allowed, bias):
    """In float64, row by row; a row that sees nothing answers zeros."""
    b, n, h, _ = query.shape
    weights = np.zeros((b, h, n, key.shape[1]))
    for sample, head, row in np.ndindex(b, h, n):
        seen = allowed[sample, row]
        if seen.any():
            scores = key[sample, seen, head].astype(float) @ query[sample, row, head]
            powers = np.exp(scores + bias[sample, head, row, seen] - scores.max())
            weights[sample, head, row, seen] = powers / powers.sum()
    return np.einsum("bhnm,bmhd->bnhd", weights, value), weights


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.tuples(st.sampled_from([1, 2, 5]), st.sampled_from([1, 3, 6])),
    causal=st.booleans(),
    kept=st.sampled_from([None, 0.0, 0.5, 1.0]),
    axes=st.none() | st.tuples(*[st.booleans()] * 4),
)
def test_masks_and_biases(seed, lengths, causal, kept, axes):
    (n, m), (b, h) = lengths, (2, 3)
    (query, key, value), cotangent = drawn(seed, (b, lengths, h, 4))
    rng = np.random.default_rng(seed)
    allowed = np.ones((b, n, m), bool)
    options: dict = {"causal": causal, "return_weights": True}
    if kept is not None:
        options["key_mask"] = rng.random((b, m)) < kept
        allowed &= options["key_mask"][:, None]
    if causal:
        allowed &= np.tri(n, m, dtype=bool)
    bias = np.zeros((b, h, n, m), np.float32)
    if axes is not None:
        shape = [size if whole else 1 for size, whole in zip(bias.shape, axes, strict=True)]
        options["bias"] = rng.standard_normal(shape).astype(np.float32)
        bias = bias + options["bias"]
    mixed, weights = attention(query, key, value, **options)
    for got, wanted in zip(
        (mixed, weights), softmax_by_hand(query, key, value, allowed, bias), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-5)

    def result(query, key, value):
        return attention(query, key, value, **options)[0]

    by_query, by_key, by_value = jax.vjp(result, query, key, value)[1](cotangent)
    assert all(bool(jnp.isfinite(g).all()) for g in (by_query, by_key, by_value))
    unseen = ~allowed.any(axis=1)  # keys that no query of the sample sees
    assert not np.asarray(by_key)[unseen].any()
    assert not np.asarray(by_value)[unseen].any()


def test_gradients_with_masks_and_a_bias():
    arguments, _ = drawn(5, (2, (3, 4), 2, 4))
    mask = np.array([[True, False, True, True], [True, True, False, False]])
    bias = np.random.default_rng(0).standard_normal((1, 2, 1, 4)).astype(np.float32)

    def result(query, key, value, bias):
        return attention(query, key, value, key_mask=mask, causal=True, bias=bias)

    check_grads(result, (*arguments, bias), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


def test_minus_infinity_in_a_bias_leaves_keys_out_and_a_nan_stays():
    (query, key, value), _ = drawn(6, (1, 3, 1, 4))
    bias = np.zeros((1, 1, 3, 3), np.float32)
    bias[..., 0, :] = -np.inf  # the first query sees nothing
    bias[..., 1, 2] = -np.inf
    mixed, weights = attention(query, key, value, bias=bias, return_weights=True)
    assert not mixed[0, 0].any()
    assert weights[0, 0, 1, 2] == 0
    np.testing.assert_allclose(weights[0, 0].sum(axis=-1), [0, 1, 1], atol=1e-6)
    query[0, 2] = np.nan
    assert jnp.isnan(attention(query, key, value, bias=bias)[0, 2]).all()


def pretend(platform, monkeypatch):
    """As on such a machine, whose JAX has its kernels' backend."""
    monkeypatch.setattr(dispatch, "platform", lambda: platform)
    monkeypatch.setattr(dispatch, "_refused", lambda implementation: None)


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_what_a_kernel_cannot_serve_goes_to_the_reference(platform, monkeypatch):
    """By themselves these shapes would go to a kernel of every platform."""
    pretend(platform, monkeypatch)
    asked: list[str] = []
    for name in IMPLEMENTATIONS | {"cudnn": None}:
        monkeypatch.setitem(
            KNOWN, name, lambda query, *_, name=name: asked.append(name) or jnp.zeros(query.shape)
        )
    narrow = jnp.zeros((1, 100, 2, 8), jnp.bfloat16)
    long = jnp.zeros((1, 1100, 2, 64), jnp.bfloat16)
    for x in (narrow, long):
        attention(x, x, x)
    kernels = {
        "cpu": ["mapped"],
        "gpu": ["triton", "cudnn"],
        "tpu": ["mosaic_tpu", "splash"],
    }[platform]
    assert asked == kernels
    for x in (narrow, long):
        mask = jnp.ones(x.shape[:2], bool)
        for options in (
            {"key_mask": mask},
            {"causal": True},
            {"bias": jnp.zeros((1, 1, 1, 1))},
            {"return_weights": True},
        ):
            attention(x, x, x, **options)
    attention(narrow[:, :3], narrow, narrow)  # our kernels take one length
    assert asked == kernels


def test_long_sequences_on_a_cpu_go_head_by_head():
    long = jax.ShapeDtypeStruct((1, 600, 2, 8), jnp.float32)
    short = jax.ShapeDtypeStruct((1, 100, 2, 8), jnp.float32)
    assert "scan" in str(jax.make_jaxpr(attention)(long, long, long))
    assert "scan" not in str(jax.make_jaxpr(attention)(short, short, short))


X = np.zeros((2, 3, 4, 5), np.float32)
BAD = {
    "key": ((X, X[:1], X), {}, r"key \(1, 3, 4, 5\), expected \(2, 1 or more, 4, 5\)"),
    "no key": ((X, X[:, :0], X[:, :0]), {}, r"key \(2, 0, 4, 5\), expected"),
    "value": ((X, X, X[:, :2]), {}, r"value \(2, 2, 4, 5\), expected \(2, 3, 4, 5\)"),
    "dtype": ((X, X, X.astype(np.float16)), {}, "value of dtype float16, expected float32"),
    "empty": ((X[:, :0],) * 3, {}, "not empty"),
    "platform": ((X, X, X), {"implementation": "splash"}, "needs a TPU"),
    "unknown": ((X, X, X), {"implementation": "refrence"}, "reference"),
    "key mask": (
        (X, X, X),
        {"key_mask": np.ones((2, 4), bool)},
        r"bool \(2, 4\), expected bool \(2, 3\)",
    ),
    "key mask's dtype": ((X, X, X), {"key_mask": np.ones((2, 3), int)}, "expected bool"),
    "bias": ((X, X, X), {"bias": X[..., :2]}, r"expected \(2, 4, 3, 3\) or 1 in place of any"),
    "weights": (
        (X, X, X),
        {"implementation": "mapped", "return_weights": True},
        "'mapped' keeps no weights to return; use 'reference'",
    ),
    "mask": ((X, X, X), {"implementation": "mapped", "causal": True}, "takes no mask and no bias"),
}


@pytest.mark.parametrize(
    ("name", "platform"),
    [("triton", "gpu"), ("cudnn", "gpu"), ("mosaic_tpu", "tpu"), ("splash", "tpu")],
)
def test_a_named_kernel_says_what_it_lacks(name, platform, monkeypatch):
    pretend(platform, monkeypatch)
    with pytest.raises(InputError, match=f"{name!r} keeps no weights to return"):
        attention(X, X, X, return_weights=True, implementation=name)
    with pytest.raises(InputError, match=f"{name!r} takes no mask and no bias"):
        attention(X, X, X, causal=True, implementation=name)
    if name in dispatch.KERNELS.values():
        with pytest.raises(InputError, match=f"{name!r} takes as many queries as keys"):
            attention(X[:, :1], X, X, implementation=name)
        wide = np.zeros((1, 4, 1, 32), np.float32)
        with pytest.raises(InputError, match="up to 128 tokens and heads of up to 16"):
            attention(wide, wide, wide, implementation=name)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    arguments, options, message = BAD[name]
    with pytest.raises(InputError, match=message):
        attention(*arguments, **options)
