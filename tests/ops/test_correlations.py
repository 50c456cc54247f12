"""Correlations of feature maps and of points against their definitions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.ops.correlation_lookup import correlation_lookup, correlation_pyramid
from jaxvision.ops.grouping import group_points
from jaxvision.ops.image_sampling import grid_sample
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.ops.local_correlation import local_correlation
from jaxvision.ops.point_correlation import point_correlation

SIZE, LEVELS, RADIUS = (9, 11), 3, 2
STEPS = range(-RADIUS, RADIUS + 1)
WINDOW = np.array([(dx, dy) for dx in STEPS for dy in STEPS], np.float32)


def maps(seed: int, channels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((2, 2, *SIZE, channels), np.float32)
    return first, second


def naive(first, second, where):
    """Bilinear samples of the volume at every offset of the window."""
    found = []
    for level in range(LEVELS):
        if level:
            height, width = second.shape[1] // 2 * 2, second.shape[2] // 2 * 2
            even = second[:, :height, :width]
            second = (
                even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]
            ) / 4

        def at(offset, level=level, second=second):
            x, y = jnp.moveaxis(where / 2**level + offset, -1, 0)
            there = grid_sample(second, x, y, "zeros")
            return jnp.sum(first * there, axis=-1) / np.sqrt(first.shape[-1])

        found.append(jax.vmap(at, out_axes=-1)(WINDOW))
    return jnp.concatenate(found, axis=-1)


@functools.cache
def runner(form: str):
    def forward(first, second, where):
        if form == "naive":
            return naive(first, second, where)
        return correlation_lookup(correlation_pyramid(first, second, LEVELS, form), where, RADIUS)

    @jax.jit
    def run(first, second, where):
        value, pull = jax.vjp(forward, first, second, where)
        return value, *pull(jnp.cos(3 * value))

    return run


def places(seed: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    where = rng.uniform(-9, 20, (2, *SIZE, 2)).astype(np.float32)
    if kind == "pixels":
        where = np.rint(where)
    if kind == "outside":
        where = rng.choice([-1e30, -1e4, 1e4, 1e30], where.shape).astype(np.float32)
    return where


@pytest.mark.parametrize("form", ["on_demand", "volume"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["anywhere", "pixels", "outside"]))
def test_both_forms_are_bilinear_samples_of_the_volume(form, seed, kind):
    first, second = maps(seed)
    where = places(seed, kind)
    # The slopes of bilinear samples at whole pixels are those of one side.
    wanted = runner("naive")(first, second, where)
    got = runner(form)(first, second, where)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-5)


def test_windows_that_are_nowhere_are_zero_with_finite_gradients():
    first, second = maps(0)
    where = places(0, "anywhere")
    where[0, 0, :3, 0] = np.nan, np.inf, -np.inf
    value, *gradients = runner("on_demand")(first, second, where)
    assert not np.any(value[0, 0, :3])
    assert all(np.isfinite(g).all() for g in gradients)


def test_lookup_on_demand_needs_a_quarter_of_the_memory_of_the_volume():
    """Both ways at half the published size: the volume grows with the fourth power of the side."""

    def loss(first, second, where, form):
        windows = correlation_lookup(correlation_pyramid(first, second, 4, form), where)
        return jnp.sum(jnp.square(windows))

    shape = jax.ShapeDtypeStruct((1, 34, 60, 64), jnp.float32)
    where = jax.ShapeDtypeStruct((1, 34, 60, 2), jnp.float32)
    room = {}
    for form in ("on_demand", "volume"):
        both = jax.jit(jax.value_and_grad(functools.partial(loss, form=form), (0, 1)))
        analysis = both.lower(shape, shape, where).compile().memory_analysis()
        room[form] = analysis.temp_size_in_bytes
    assert room["on_demand"] <= room["volume"] / 4


def test_local_correlation_is_a_sum_of_shifted_products_both_ways():
    first, second = maps(1)
    most = 2

    def shifted(first, second):
        height, width = SIZE
        padded = jnp.pad(second, ((0, 0), (most, most), (most, most), (0, 0)))
        steps = range(2 * most + 1)
        return jnp.stack(
            [
                jnp.mean(first * padded[:, y : y + height, x : x + width], axis=-1)
                for y in steps
                for x in steps
            ],
            axis=-1,
        )

    @functools.partial(jax.jit, static_argnums=0)
    def both(function):
        value, pull = jax.vjp(function, first, second)
        return value, *pull(jnp.cos(value))

    got = both(lambda f, s: local_correlation(f, s, most))
    for mine, wanted in zip(got, both(shifted), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)


def test_point_correlation_is_offset_and_product_of_the_nearest():
    rng = np.random.default_rng(2)
    first, xyz1 = rng.standard_normal((1, 5, 8)), rng.standard_normal((1, 5, 3))
    second, xyz2 = rng.standard_normal((1, 7, 8)), rng.standard_normal((1, 7, 3))
    got = point_correlation(*(a.astype(np.float32) for a in (first, second, xyz1, xyz2)), k=2)
    for n in range(5):
        nearest = np.argsort(np.linalg.norm(xyz2[0] - xyz1[0, n], axis=-1))[:2]
        wanted = [[*(xyz2[0, m] - xyz1[0, n]), first[0, n] @ second[0, m] / 8] for m in nearest]
        np.testing.assert_allclose(got[0, n], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["anywhere", "grid"])
def test_point_correlation_has_the_gradients_of_its_definition(kind):
    """On a grid several neighbours are as near: those of the last place, too."""
    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((2, 2, 9, 6)).astype(np.float32)
    xyz1, xyz2 = rng.uniform(0, 3, (2, 2, 9, 3)).astype(np.float32)
    if kind == "grid":
        xyz1, xyz2 = np.floor(xyz1), np.floor(xyz2)
    nearest = k_nearest_neighbours(xyz2, xyz1, 4).indices

    def definition(first, second, xyz1, xyz2):
        offset = group_points(xyz2, nearest) - xyz1[:, :, None]
        products = jnp.mean(first[:, :, None] * group_points(second, nearest), axis=-1)
        return jnp.concatenate([offset, products[..., None]], axis=-1)

    @functools.partial(jax.jit, static_argnums=0)
    def both(function):
        value, pull = jax.vjp(function, first, second, xyz1, xyz2)
        return value, *pull(jnp.cos(3 * value))

    got = both(lambda *arrays: point_correlation(*arrays, k=4))
    for mine, wanted in zip(got, both(definition), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-5)


def test_point_correlation_never_keeps_the_features_of_all_neighbours():
    """Nor all pairs: each would be 4.2 MB here."""

    def both(*arrays):
        value, pull = jax.vjp(lambda *arrays: point_correlation(*arrays, k=16), *arrays)
        return value, pull(value)

    shapes = [jax.ShapeDtypeStruct((1, 512, size), jnp.float32) for size in (128, 128, 3, 3)]
    # The search holds distances of its own.
    search = jax.jit(lambda p, q: k_nearest_neighbours(p, q, 16)).lower(*shapes[2:]).compile()
    room = jax.jit(both).lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert room - search.memory_analysis().temp_size_in_bytes < 2e6


MAP = np.zeros((1, 8, 8, 4), np.float32)
BAD = {
    "levels": (lambda: correlation_pyramid(MAP, MAP, 5), "expected at least 16 rows and columns"),
    "form": (lambda: correlation_pyramid(MAP, MAP, 2, "all"), "'on_demand' or 'volume'"),
    "channels": (lambda: correlation_pyramid(MAP, MAP[..., :2], 2), "equal b and c"),
    "where": (
        lambda: correlation_lookup(correlation_pyramid(MAP, MAP, 2), MAP[:, :3, :, :2]),
        "a place for each pixel",
    ),
    "local": (lambda: local_correlation(MAP, MAP[:, :4]), "two equal"),
    "rows": (
        lambda: point_correlation(MAP[:, 0], MAP[:, 0], MAP[:, 0, :5, :3], MAP[:, 0, :, :3], 2),
        "a row for each point",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(name):
    call, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
