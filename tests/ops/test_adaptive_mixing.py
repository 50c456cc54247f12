"""Adaptive mixing: every kernel against the reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.ops.adaptive_mixing import adaptive_mixing, mosaic_tpu, reference, triton
from tpu_interpreter import STRICT, races_found

# (tokens, points, outputs, channels): one of each, and more than a tile of tokens.
BUCKETS = [(1, 1, 1, 1), (11, 9, 12, 10), (8, 4, 16, 6)]
FORMS = [(("gelu", "gelu"), None), (("none", "gelu"), None), (("relu", "relu"), 1e-5)]
KERNELS = {
    "mosaic_tpu": functools.partial(mosaic_tpu.mix, interpret=True),
    "triton": functools.partial(triton.mix, interpret=True),
}


@functools.cache
def runner(name: str, form):
    mix = KERNELS.get(name, reference.mix)

    @jax.jit
    def run(arguments, cotangent):
        value, pull = jax.vjp(lambda *a: mix(*a, *form), *arguments)
        return value, *pull(cotangent)

    return run


def drawn(seed: int, bucket, size: float = 1.0):
    n, p, o, c = bucket
    rng = np.random.default_rng(seed)
    shapes = ((n, p, c), (n, c, c), (n, o, p), (c,), (o,), (n, o, c))
    arrays = [np.float32(size) * rng.standard_normal(s, np.float32) for s in shapes]
    return tuple(arrays[:-1]), arrays[-1]


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**31), size=st.sampled_from([0.1, 1.0, 3.0]))
def test_kernels_equal_the_reference(kernel, bucket, form, seed, size):
    if form[1] is not None and bucket == (1, 1, 1, 1):
        return  # the norm of one number is 0 whatever the number
    arguments, cotangent = drawn(seed, bucket, size)
    wanted = runner("reference", form)(arguments, cotangent)
    got = runner(kernel, form)(arguments, cotangent)
    for ours, theirs in zip(got, wanted, strict=True):
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16(kernel):
    arguments, cotangent = drawn(0, BUCKETS[1], 0.5)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (arguments[:3], cotangent))
    exact = runner("reference", FORMS[0])(arguments, cotangent)
    got = runner(kernel, FORMS[0])((*half[0], *arguments[3:]), half[1])
    for ours, theirs in zip(got, exact, strict=True):
        error = jnp.linalg.norm(ours.astype(jnp.float32) - theirs) / jnp.linalg.norm(theirs)
        assert float(error) < 0.02
    assert [g.dtype for g in got[:4]] == [jnp.bfloat16] * 4


@pytest.mark.xdist_group("interpreted_kernels")
def test_no_races_and_no_reads_out_of_bounds_on_a_tpu():
    arguments, cotangent = drawn(1, BUCKETS[1])

    def mix(*arguments):
        return mosaic_tpu.mix(*arguments, *FORMS[2], STRICT)

    value, pull = jax.vjp(mix, *arguments)
    assert all(bool(jnp.isfinite(g).all()) for g in (value, *pull(cotangent)))
    assert not races_found()


def test_any_leading_axes_and_no_biases():
    (x, channel, point, *_), _ = drawn(2, (12, 5, 7, 4))
    whole = adaptive_mixing(x, channel, point)
    shaped = [a.reshape(2, 3, 2, *a.shape[1:]) for a in (x, channel, point)]
    np.testing.assert_allclose(adaptive_mixing(*shaped).reshape(12, 7, 4), whole, atol=1e-6)
    zeros = adaptive_mixing(x, channel, point, np.zeros(4), np.zeros(7))
    np.testing.assert_allclose(zeros, whole, atol=1e-6)


X, CHANNEL, POINT = np.zeros((3, 4, 5)), np.zeros((3, 5, 5)), np.zeros((3, 6, 4))
BAD = {
    "channel": ((X, CHANNEL[:, 1:], POINT), {}, r"channel \(3, 4, 5\).*expected \(3, 5, 5\)"),
    "batch": ((X, CHANNEL, POINT[:2]), {}, r"point \(2, 6, 4\)"),
    "empty": ((X[:, :0], CHANNEL, POINT), {}, "nothing empty"),
    "bias": ((X, CHANNEL, POINT, np.zeros(4)), {}, r"channel_bias \(4,\): expected \(5,\)"),
    "dtype": ((X, CHANNEL, POINT), {}, "x of dtype float64"),
    "activations": ((X, CHANNEL, POINT), {"activations": ("gelu", "tanh")}, "expected two of"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    arguments, options, message = BAD[name]
    with pytest.raises(InputError, match=message):
        adaptive_mixing(*arguments, **options)
