"""Kernels of searches, samplings and lookups against the reference, step by step on any device."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.ops import (
    correlation_lookup,
    furthest_point_sampling,
    k_nearest_neighbours,
    point_convolution,
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
from tpu_interpreter import STRICT, races_found

FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
KERNELS = {
    "mosaic_tpu": (tpu_search, tpu_sampling, tpu_lookup),
    "triton": (gpu_search, gpu_sampling, gpu_lookup),
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


@pytest.mark.parametrize(
    ("prefers", "fits", "too_large"),
    [
        (k_nearest_neighbours._preferred, (TPU_ROOM,), (TPU_ROOM + 1,)),
        (furthest_point_sampling._preferred, (131072, 3), (131072, 30)),
        (
            correlation_lookup._preferred,
            (jax.ShapeDtypeStruct((1, 68, 120, 256), np.float32), 10),
            (jax.ShapeDtypeStruct((1, 68, 250, 256), np.float32), 10),
        ),
    ],
    ids=["search", "sampling", "lookup"],
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
