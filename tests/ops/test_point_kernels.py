"""Kernels of searches, samplings and lookups against the reference, step by step on any device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.ops import (
    correlation_lookup,
    furthest_point_sampling,
    k_nearest_neighbours,
    point_convolution,
    point_correlation,
)
from jaxvision.ops.correlation_lookup import mosaic_tpu as tpu_lookup
from jaxvision.ops.correlation_lookup import reference as lookup
from jaxvision.ops.correlation_lookup import triton as gpu_lookup
from jaxvision.ops.dispatch import TPU_ROOM
from jaxvision.ops.furthest_point_sampling import mosaic_tpu as tpu_sampling
from jaxvision.ops.furthest_point_sampling import reference as sampling
from jaxvision.ops.furthest_point_sampling import triton as gpu_sampling
from jaxvision.ops.k_nearest_neighbours import mosaic_tpu as tpu_search
from jaxvision.ops.k_nearest_neighbours import reference as search
from jaxvision.ops.k_nearest_neighbours import triton as gpu_search
from jaxvision.ops.point_convolution import reference as convolution
from jaxvision.ops.point_convolution import triton as gpu_convolution
from jaxvision.ops.point_correlation import mosaic_tpu as tpu_correlation
from jaxvision.ops.point_correlation import reference as correlation
from jaxvision.ops.point_correlation import triton as gpu_correlation
from tpu_interpreter import STRICT, races_found

FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
KERNELS = {
    "mosaic_tpu": (tpu_search, tpu_sampling, tpu_lookup, tpu_correlation),
    "triton": (gpu_search, gpu_sampling, gpu_lookup, gpu_correlation),
}
pytestmark = pytest.mark.xdist_group("interpreted_kernels")


@functools.cache
def compiled(function, *static, interpret=None):
    options = {} if interpret is None else {"interpret": interpret}
    return jax.jit(lambda *arrays: function(*arrays, *static, **options))


def cloud(rng, count: int, kind: str, axes: int = 3) -> np.ndarray:
    """Anywhere, or where many coordinates and distances are equal; of each a few are not finite."""
    if kind == "grid":
        return rng.integers(0, 3, (2, count, axes)).astype(np.float32)
    points = rng.uniform(-5, 5, (2, count, axes)).astype(np.float32)
    if kind == "out of reach":
        points[rng.random(points.shape[:2]) < 0.8] = rng.choice([np.nan, np.inf, 1e6])
    return points


# (points, queries, axes, k): one of each, several tiles, as many neighbours as points.
@pytest.mark.parametrize("sizes", [(1, 1, 2, 1), (300, 140, 3, 16), (20, 5, 3, 20)], ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["anywhere", "grid", "out of reach"]))
def test_searches_equal_the_reference(kernel, sizes, seed, kind):
    n, m, axes, k = sizes
    rng = np.random.default_rng(seed)
    points, queries = cloud(rng, n, kind, axes), cloud(rng, m, "grid", axes)
    got = compiled(KERNELS[kernel][0].nearest, k, True)(points, queries)
    wanted = compiled(search.nearest, k)(points, queries)
    np.testing.assert_array_equal(got[0], wanted[0])
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-6)


@pytest.mark.parametrize("sizes", [(1, 1), (1100, 40)], ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["anywhere", "grid"]))
def test_samplings_equal_the_reference(kernel, sizes, seed, kind):
    n, samples = sizes
    points = cloud(np.random.default_rng(seed), n, kind)
    got = compiled(KERNELS[kernel][1].sample, 0, samples, True)(points)
    wanted = compiled(sampling.sample, 0, samples)(points)
    np.testing.assert_array_equal(got, wanted)


def window_arguments(rng, pixels: int = 150, size: tuple[int, int] = (11, 9), side: int = 4):
    first = rng.standard_normal((2, pixels, 12), np.float32)
    second = rng.standard_normal((2, *size, 12), np.float32)
    corners = rng.integers(-side - 2, 2 * max(size), (2, pixels, 2)).astype(np.int32)
    return first, second, corners, rng.standard_normal((2, pixels, side, side), np.float32)


@functools.cache
def both_ways(window_products, *options):
    @jax.jit
    def run(first, second, corners, cotangent):
        side = cotangent.shape[-1]
        value, pull = jax.vjp(
            lambda f, s: window_products(f, s, corners, side, *options), first, second
        )
        return value, *pull(cotangent)

    return run


@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(seed=st.integers(0, 2**31))
def test_lookups_equal_the_reference_both_ways(kernel, seed):
    arguments = window_arguments(np.random.default_rng(seed))
    got = both_ways(KERNELS[kernel][2].window_products, True)(*arguments)
    wanted = both_ways(lookup.window_products)(*arguments)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


@FEW
@given(seed=st.integers(0, 2**31))
def test_depthwise_convolutions_equal_the_reference_both_ways(seed):
    """Small whole numbers: many products are equal, and the first of them has the gradient."""
    rng = np.random.default_rng(seed)
    features = rng.integers(-2, 3, (2, 40, 12)).astype(np.float32)
    weights = rng.integers(-2, 3, (2, 35, 5, 12)).astype(np.float32)
    neighbours = rng.integers(0, 40, (2, 35, 5)).astype(np.int32)
    cotangent = rng.standard_normal((2, 35, 12), np.float32)
    got = maximum_both_ways(gpu_convolution, True)(features, weights, neighbours, cotangent)
    wanted = maximum_both_ways(convolution)(features, weights, neighbours, cotangent)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


@functools.cache
def maximum_both_ways(implementation, *options):
    @jax.jit
    def run(features, weights, neighbours, cotangent):
        value, pull = jax.vjp(
            lambda f, w: implementation.weighted_maximum(f, w, neighbours, *options),
            features,
            weights,
        )
        return value, *pull(cotangent)

    return run


def correlation_arguments(rng, sizes, kind: str, dtype=np.float32):
    """Features, places, and the cotangent of what is found."""
    n, m, channels, k = sizes
    features = (rng.standard_normal((2, count, channels), np.float32) for count in (n, m))
    first, second = (jnp.asarray(each, dtype) for each in features)
    places = cloud(rng, n, "grid"), cloud(rng, m, kind)
    return first, second, *places, rng.standard_normal((2, n, k, 4), np.float32)


@functools.cache
def correlations_both_ways(correlations, k, *options):
    """(correlations, indices, gradients by all four arrays)."""

    @jax.jit
    def run(first, second, xyz1, xyz2, cotangent):
        found, pull, nearest = jax.vjp(
            lambda *arrays: correlations(*arrays, k, *options),
            first,
            second,
            xyz1,
            xyz2,
            has_aux=True,
        )
        return found, nearest, *pull(cotangent)

    return run


def assert_equal_correlations(got, wanted):
    np.testing.assert_array_equal(got[1], wanted[1])
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.dtype == theirs.dtype
        mine, theirs = (np.asarray(each, np.float32) for each in (mine, theirs))
        # Gradients in bfloat16 differ by one of its steps.
        step = 2**-7 if got[2].dtype == jnp.bfloat16 else 1e-5
        np.testing.assert_allclose(mine, theirs, rtol=step, atol=5e-5)


# (points, others, channels, k): one of each; several tiles and blocks, the last of them not full.
@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [
        ((1, 1, 3, 1), np.float32),
        ((140, 300, 12, 16), np.float32),
        ((20, 40, 20, 32), jnp.bfloat16),
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["anywhere", "grid", "out of reach"]))
def test_correlations_equal_the_reference_both_ways(kernel, sizes, dtype, seed, kind):
    arguments = correlation_arguments(np.random.default_rng(seed), sizes, kind, dtype)
    k = sizes[3]
    got = correlations_both_ways(KERNELS[kernel][3].correlations, k, True)(*arguments)
    assert_equal_correlations(got, correlations_both_ways(correlation.correlations, k)(*arguments))


def test_no_races_and_no_reads_of_nothing_on_a_tpu():
    """Two tiles or blocks of each kernel, the last of them not full."""
    rng = np.random.default_rng(1)
    points, queries = (cloud(rng, count, "anywhere")[:1] for count in (260, 130))
    got = tpu_search.nearest(points, queries, 2, STRICT)
    assert not races_found()
    np.testing.assert_array_equal(got[0], search.nearest(points, queries, 2)[0])
    chosen = tpu_sampling.sample(points, 0, 3, STRICT)
    assert not races_found()
    np.testing.assert_array_equal(chosen, sampling.sample(points, 0, 3))
    first, second, corners, cotangent = (
        array[:1] for array in window_arguments(rng, pixels=130, size=(10, 7), side=2)
    )
    value, pull = jax.vjp(
        lambda f, s: tpu_lookup.window_products(f, s, corners, 2, STRICT), first, second
    )
    assert not races_found()
    gradients = pull(cotangent)
    assert not races_found()
    wanted = both_ways(lookup.window_products)(first, second, corners, cotangent)
    for mine, theirs in zip((value, *gradients), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


def test_no_races_and_no_reads_of_nothing_in_correlations_on_a_tpu():
    arguments = [
        array[:1]
        for array in correlation_arguments(np.random.default_rng(1), (130, 260, 5, 2), "anywhere")
    ]
    found, pull, nearest = jax.vjp(
        lambda *arrays: tpu_correlation.correlations(*arrays, 2, STRICT),
        *arguments[:4],
        has_aux=True,
    )
    assert not races_found()
    gradients = pull(arguments[4])
    assert not races_found()
    wanted = correlations_both_ways(correlation.correlations, 2)(*arguments)
    assert_equal_correlations((found, nearest, *gradients), wanted)


@pytest.mark.parametrize(
    ("prefers", "fits", "too_large"),
    [
        (k_nearest_neighbours._preferred, (TPU_ROOM,), (TPU_ROOM + 1,)),
        (furthest_point_sampling._preferred, (131072, 3), (131072, 30)),
        (
            point_correlation._preferred,
            (jax.ShapeDtypeStruct((1, 4096, 128), np.float32), 16),
            (jax.ShapeDtypeStruct((1, 8192, 128), np.float32), 16),
        ),
        (
            correlation_lookup._preferred,
            (jax.ShapeDtypeStruct((1, 68, 120, 256), np.float32), 10),
            (jax.ShapeDtypeStruct((1, 68, 250, 256), np.float32), 10),
        ),
    ],
    ids=["search", "sampling", "point lookup", "lookup"],
)
def test_what_does_not_fit_on_the_chip_goes_to_the_reference(prefers, fits, too_large):
    assert prefers(*fits, "tpu") == "mosaic_tpu"
    assert prefers(*too_large, "tpu") == "reference"
    assert prefers(*too_large, "cpu") == "reference"


def test_what_registers_do_not_hold_goes_to_the_reference():
    assert furthest_point_sampling._preferred(gpu_sampling.MOST_POINTS, 3, "gpu") == "triton"
    assert furthest_point_sampling._preferred(gpu_sampling.MOST_POINTS + 1, 3, "gpu") == "reference"
    for channels, implementation in ((256, "triton"), (257, "reference")):
        map_ = jax.ShapeDtypeStruct((1, 68, 120, channels), np.float32)
        assert correlation_lookup._preferred(map_, 10, "gpu") == implementation
        assert point_convolution._preferred(channels, "gpu") == implementation
        second = jax.ShapeDtypeStruct((1, 2048, channels), np.float32)
        assert point_correlation._preferred(second, 16, "gpu") == implementation
