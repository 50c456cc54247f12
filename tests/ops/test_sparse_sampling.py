"""Sampling: the reference against its definition, and every kernel against the reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.ops.sparse_sampling import (
    HAT_ROWS,
    MOST_HAT_ROWS,
    mosaic_tpu,
    reference,
    sampled_means,
    sparse_sampling,
    sparsecore,
    triton,
)
from jaxvision.ops.sparse_sampling.geometry import coordinates
from jaxvision.ops.sparse_sampling.means_over_points import mean_over_points, preferred
from tpu_interpreter import STRICT, races_found

# (sizes, points, channels): one point, one channel, one pixel, more than a tile of each.
BUCKETS = [
    ((1, 1), 1, 1),
    ((5, 3), 7, 1),
    ((9, 7), 1, 12),
    ((30, 23), 300, 5),
    ((4, 3, 2), 40, 6),
]


def take(table, rows):
    """What stands for the SparseCores' fetch, which nothing but a chip runs."""
    return table[rows]


KERNELS = {
    "sparsecore": functools.partial(sparsecore.sample_rows, take=take),
    "mosaic_tpu": functools.partial(mosaic_tpu.sample_rows, interpret=True),
    "triton": functools.partial(triton.sample_rows, interpret=True),
}


@functools.cache
def runner(name: str, sizes: tuple[int, ...]):
    """Value and both gradients, compiled once for each bucket."""
    sample = KERNELS.get(name, reference.sample_rows)

    @jax.jit
    def run(features, where, cotangent):
        value, pull = jax.vjp(lambda f, w: sample(f, w, sizes), features, where)
        return value, *pull(cotangent)

    return run


def bounded_points(rng: np.random.Generator, sizes, count: int, kind: str) -> np.ndarray:
    """Fractions of the map: anywhere, exactly on pixels, edges and beyond, or not finite."""
    if kind == "pixels":
        pixels = rng.integers(-2, np.array(sizes) + 2, (2, count, len(sizes)))
        return ((pixels + 0.5) / np.array(sizes)).astype(np.float32)
    points = rng.uniform(-0.5, 1.5, (2, count, len(sizes))).astype(np.float32)
    if kind == "edges":
        points = np.rint(points)
    elif kind == "not finite":
        points[rng.random(points.shape) < 0.3] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
    return points


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["anywhere", "pixels", "edges", "not finite"]),
    padding=st.sampled_from(["zeros", "border"]),
)
def test_kernels_equal_the_reference(kernel, bucket, seed, kind, padding):
    sizes, count, channels = bucket
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((2, int(np.prod(sizes)), channels), np.float32)
    where = coordinates(bounded_points(rng, sizes, count, kind), sizes, padding)
    cotangent = rng.standard_normal((2, count, channels), np.float32)
    wanted = runner("reference", sizes)(features, where, cotangent)
    got = runner(kernel, sizes)(features, where, cotangent)
    for ours, theirs in zip(got, wanted, strict=True):
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16_features_do_not_move_the_points(kernel):
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.standard_normal((1, 30 * 20, 8)), jnp.bfloat16)
    where = jnp.asarray(rng.uniform(0, 19, (1, 50, 2)), jnp.float32)
    got = KERNELS[kernel](features, where, (30, 20))
    wanted = reference.sample_rows(features.astype(jnp.float32), where, (30, 20))
    assert got.dtype == jnp.bfloat16
    # Half a unit in the last of eight bits; weights rounded to bfloat16 would double it.
    np.testing.assert_allclose(got.astype(jnp.float32), wanted, rtol=2**-8, atol=2**-10)


@pytest.mark.xdist_group("interpreted_kernels")
def test_no_races_and_no_reads_out_of_bounds_on_a_tpu():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((1, 31 * 27, 4), np.float32)
    where = rng.uniform(-1, 30, (1, 301, 2)).astype(np.float32)

    def total(features, where):
        return jnp.sum(mosaic_tpu.sample_rows(features, where, (31, 27), STRICT) ** 2)

    grads = jax.jit(jax.grad(total, argnums=(0, 1)))(features, where)
    assert all(bool(jnp.isfinite(g).all()) for g in grads)
    assert not races_found()


def naive(features: np.ndarray, points: np.ndarray, padding: str) -> np.ndarray:
    """One point at a time, from the definition."""
    b, h, w, c = features.shape
    out = np.zeros((b, *points.shape[1:3], c))
    for i, n, p in np.ndindex(*out.shape[:3]):
        x, y = points[i, n, p] * (w, h) - 0.5
        if padding == "border":
            x, y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < h and 0 <= column < w:
                    weight = max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
                    out[i, n, p] += weight * features[i, row, column]
    return out


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_definition(padding):
    rng = np.random.default_rng(2)
    features = rng.standard_normal((2, 5, 7, 3), np.float32)
    points = rng.uniform(-0.3, 1.3, (2, 4, 6, 2)).astype(np.float32)
    got = sparse_sampling(features, points, padding=padding)
    np.testing.assert_allclose(got, naive(features, points, padding), atol=1e-5)


def test_groups_levels_and_shared_frames_compose():
    rng = np.random.default_rng(3)
    levels = [rng.standard_normal((2, 3, h, w, 8), np.float32) for h, w in ((6, 8), (3, 4))]
    points = rng.uniform(0, 1, (2, 5, 6, 2)).astype(np.float32)
    weights = rng.uniform(0, 1, (2, 5, 6, 2)).astype(np.float32)
    got = sparse_sampling(levels, points, weights, groups=2, frames="shared")
    assert got.shape == (2, 5, 6, 3, 4)
    for group in range(2):
        part = slice(3 * group, 3 * group + 3)
        for frame in range(3):
            wanted = sum(
                weights[:, :, part, i, None]
                * naive(
                    level[:, frame, ..., 4 * group : 4 * group + 4], points[:, :, part], "zeros"
                )
                for i, level in enumerate(levels)
            )
            np.testing.assert_allclose(got[:, :, part, frame], wanted, atol=1e-5)
    over_frames, over_points = sampled_means(levels, points, weights, groups=2)
    np.testing.assert_allclose(over_frames, got.mean(3), atol=1e-6)
    grouped = got.reshape(2, 5, 2, 3, 3, 4).mean(3)
    np.testing.assert_allclose(over_points, grouped, atol=1e-6)
    one = sparse_sampling(levels, points, weights, groups=2, frames="shared", reduce="points")
    np.testing.assert_array_equal(one, over_points)


@functools.cache
def means_and_gradients(form):
    """Of two levels, of which points of one lie beyond their edges."""
    rng = np.random.default_rng(5)
    levels = [jnp.asarray(rng.standard_normal((2, 3, h, 9, 8)), jnp.float32) for h in (7, 4)]
    points = jnp.asarray(rng.uniform(-0.2, 1.2, (2, 5, 6, 2)), jnp.float32)
    weights = jnp.asarray(rng.uniform(0, 1, (2, 5, 6, 2)), jnp.float32)

    def total(levels, points, weights):
        both = sampled_means(levels, points, weights, groups=2, form=form)
        return sum(jnp.sum(jnp.sin(each)) for each in both), both

    return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(levels, points, weights)


@pytest.mark.parametrize("form", ["linear", None])
def test_means_by_linearity_equal_those_of_every_frame_both_ways(form):
    wanted, got = (jax.tree.leaves(means_and_gradients(f)) for f in ("frames", form))
    for one, other in zip(wanted, got, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_the_forms_of_the_mean_over_points_agree_both_ways():
    rng = np.random.default_rng(6)
    clip = jnp.asarray(rng.standard_normal((2, 3, 5 * 7, 4)), jnp.float32)
    where = coordinates(rng.uniform(-0.2, 1.2, (2, 2, 4, 6, 2)), (7, 5), "zeros")
    weights = jnp.asarray(rng.uniform(0, 1, (2, 2, 4, 6)), jnp.float32)

    def both_ways(form, clip):
        def total(*of):
            mean = mean_over_points(*of, (7, 5), form)
            return jnp.sum(jnp.sin(mean)), mean

        return jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(clip, where, weights)

    gather, product, whole = (both_ways(form, clip) for form in ("gather", "product", "whole"))
    for other in (product, whole):
        for one, two in zip(jax.tree.leaves(gather), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)
    # In half precision the pixels' shares are rounded, and nothing else that counts.
    narrow = both_ways("whole", clip.astype(jnp.bfloat16))
    assert [each.dtype for each in jax.tree.leaves(narrow)] == ["bfloat16", *["float32"] * 3]
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(narrow), strict=True):
        apart = jnp.linalg.norm(one - two.astype(jnp.float32)) / jnp.linalg.norm(one)
        assert float(apart) < 1e-2
    assert [preferred(pixels, "cpu") for pixels in (8192, 8193)] == ["product", "gather"]


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_points_that_are_not_finite_have_finite_gradients(padding):
    features = np.ones((1, 4, 4, 2), np.float32)
    points = np.full((1, 1, 4, 2), 0.5, np.float32)
    points[0, 0, :3, 0] = np.nan, np.inf, -np.inf

    def total(features, points):
        return jnp.sum(sparse_sampling(features, points, padding=padding))

    value = sparse_sampling(features, points, padding=padding)
    expected = 1.0 if padding == "border" else 0.0
    np.testing.assert_allclose(value[0, 0, :, 0], [expected] * 3 + [1.0])
    by_features, by_points = jax.grad(total, argnums=(0, 1))(features, points)
    assert np.isfinite(by_features).all()
    assert np.isfinite(by_points).all()


FEATURES, POINTS = np.zeros((2, 4, 5, 6), np.float32), np.zeros((2, 3, 4, 2), np.float32)
BAD = {
    "batch": ((FEATURES, POINTS[:1]), {}, r"points \(1, 3, 4, 2\) for features \(2, 4, 5, 6\)"),
    "groups": ((FEATURES, POINTS), {"groups": 4}, "groups=4 does not divide 6 channels"),
    "no points": ((FEATURES, POINTS[:, :, :0]), {}, r"points \(2, 3, 0, 2\)"),
    "dtype": ((FEATURES.astype(np.int32), POINTS), {}, "dtype int32: expected float32"),
    "empty map": ((FEATURES[:, :0], POINTS), {}, r"features \(2, 0, 5, 6\).*nothing empty"),
    "three axes": ((FEATURES, np.zeros((2, 3, 4, 3))), {}, r"expected \[2, n, p, 2\]"),
    "weights": ((FEATURES, POINTS, POINTS), {}, r"weights \(2, 3, 4, 2\): expected"),
    "padding": ((FEATURES, POINTS), {"padding": "wrap"}, "padding 'wrap'"),
    "frames": ((FEATURES, POINTS), {"frames": "shared"}, "frames='shared' for features"),
    "levels": (([FEATURES, FEATURES[:1]], POINTS), {}, r"levels .* expected equal batches"),
    "wrong platform": (
        (FEATURES, POINTS),
        {"implementation": "mosaic_tpu"},
        "'mosaic_tpu' needs a TPU, and this program is for a CPU",
    ),
    "unknown": ((FEATURES, POINTS), {"implementation": "tritn"}, "did you mean 'triton'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(name):
    arguments, options, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        sparse_sampling(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("has", "most", "beyond"),
    [(True, HAT_ROWS, "sparsecore"), (False, MOST_HAT_ROWS, "reference")],
)
def test_large_maps_are_gathered_on_a_tpu(monkeypatch, has, most, beyond):
    from jaxvision.ops.sparse_sampling import _preferred

    monkeypatch.setattr("jaxvision.ops.sparse_sampling.has_sparse_cores", lambda: has)
    assert _preferred(most, "tpu") == "mosaic_tpu"
    assert _preferred(most + 1, "tpu") == beyond
    assert _preferred(1, "cpu") == "reference"
    assert _preferred(HAT_ROWS + 1, "gpu") == "triton"
