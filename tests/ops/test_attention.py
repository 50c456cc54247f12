"""Attention: every implementation against the reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.ops.attention import attention, library, mapped, mosaic_tpu, reference, triton
from tpu_interpreter import STRICT, races_found

# (samples, tokens, heads, width): one of each; a block of lanes; all channels; groups of heads.
NARROW = [(1, 1, 1, 1), (2, 9, 32, 8), (1, 17, 3, 12), (1, 33, 32, 12)]
# Splash attention pads 130 tokens to 256.
IMPLEMENTATIONS = {
    "mapped": (mapped.attend, [*NARROW, (2, 40, 2, 32)]),
    "mosaic_tpu": (functools.partial(mosaic_tpu.attend, interpret=True), NARROW),
    "triton": (functools.partial(triton.attend, interpret=True), NARROW),
    "splash": (functools.partial(library.splash, interpret=True), [(2, 130, 2, 64)]),
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
    *arguments, cotangent = (
        np.float32(size) * rng.standard_normal(shape, np.float32) for _ in range(4)
    )
    arguments[0] = arguments[0] * np.float32(shape[-1] ** -0.5)
    return tuple(arguments), cotangent


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**31), size=st.sampled_from([0.1, 1.0, 3.0]))
def test_implementations_equal_the_reference(name, shape, seed, size):
    arguments, cotangent = drawn(seed, shape, size)
    wanted = runner("reference")(arguments, cotangent)
    for ours, theirs in zip(runner(name)(arguments, cotangent), wanted, strict=True):
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * scale)


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


def test_long_sequences_on_a_cpu_go_head_by_head():
    long = jax.ShapeDtypeStruct((1, 600, 2, 8), jnp.float32)
    short = jax.ShapeDtypeStruct((1, 100, 2, 8), jnp.float32)
    assert "scan" in str(jax.make_jaxpr(attention)(long, long, long))
    assert "scan" not in str(jax.make_jaxpr(attention)(short, short, short))


X = np.zeros((2, 3, 4, 5), np.float32)
BAD = {
    "key": ((X, X[:1], X), {}, r"key \(1, 3, 4, 5\), expected \(2, 3, 4, 5\)"),
    "dtype": ((X, X, X.astype(np.float16)), {}, "value of dtype float16, expected float32"),
    "empty": ((X[:, :0],) * 3, {}, "not empty"),
    "platform": ((X, X, X), {"implementation": "splash"}, "needs a TPU"),
    "unknown": ((X, X, X), {"implementation": "refrence"}, "reference"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    arguments, options, message = BAD[name]
    with pytest.raises(InputError, match=message):
        attention(*arguments, **options)
