"""Operations on points against loops that follow the published kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.ops.furthest_point_sampling import furthest_point_sampling
from jaxvision.ops.k_nearest_neighbours import FAR, k_nearest_neighbours, reference
from jaxvision.ops.point_convolution import depthwise_point_convolution, point_convolution
from jaxvision.ops.point_interpolation import point_interpolation

FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
search = jax.jit(k_nearest_neighbours, static_argnums=2)
sample = jax.jit(furthest_point_sampling, static_argnums=1)


def cloud(seed: int, count: int, kind: str, axes: int = 3) -> np.ndarray:
    """Coordinates anywhere, or on a coarse grid where many are equal."""
    rng = np.random.default_rng(seed)
    if kind == "anywhere":
        return rng.uniform(-5, 5, (2, count, axes)).astype(np.float32)
    return rng.integers(0, 3, (2, count, axes)).astype(np.float32)


def published_search(points: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """One cloud: candidates one after the other into a sorted list of k."""
    found = []
    for query in queries:
        best = [(np.float32(FAR), 0)] * k
        for index, point in enumerate(points):
            squared = np.float32(0)
            for difference in query - point:
                squared = np.float32(squared + difference * difference)
            if not squared <= best[-1][0]:
                continue
            place = k - 1
            while place and best[place - 1][0] > squared:
                place -= 1
            best = [*best[:place], (squared, index), *best[place:-1]]
        found.append([index for _, index in best])
    return np.array(found)


def published_sampling(points: np.ndarray, samples: int, threads: int = 1024) -> list[int]:
    """One cloud: the running minimum, the first of each thread's points, a tree over threads."""
    distance, chosen = np.full(len(points), 1e10, np.float32), [0]
    while len(chosen) < samples:
        squared = ((points - points[chosen[-1]]) ** 2).astype(np.float32)
        distance = np.minimum(distance, squared[:, 0] + squared[:, 1] + squared[:, 2])
        most = np.full(threads, -1, np.float32)
        place = np.zeros(threads, int)
        for index, value in enumerate(distance):
            if value > most[index % threads]:
                most[index % threads], place[index % threads] = value, index
        half = threads // 2
        while half:
            upper = most[half : 2 * half] >= most[:half]
            place[:half] = np.where(upper, place[half : 2 * half], place[:half])
            most[:half] = np.maximum(most[half : 2 * half], most[:half])
            half //= 2
        chosen.append(int(place[0]))
    return chosen


@FEW
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["anywhere", "grid"]),
    k=st.sampled_from([1, 3, 12]),
)
def test_neighbours_are_those_of_the_published_loop(seed, kind, k):
    points, queries = cloud(seed, 12, kind), cloud(seed + 1, 7, kind)
    indices, squared = search(points, queries, k)
    for mine, one, asked in zip(indices, points, queries, strict=True):
        np.testing.assert_array_equal(mine, published_search(one, asked, k))
    assert np.all(np.diff(squared, axis=-1) >= 0)


def test_what_is_out_of_reach_is_never_found():
    points = np.zeros((1, 3, 3), np.float32)
    points[0, :, 0] = 5.0, 4e4, np.nan
    indices, squared = search(points, np.zeros((1, 1, 3), np.float32), 3)
    assert np.array_equal(indices[0, 0], [0, 0, 0])
    assert np.array_equal(squared[0, 0], np.float32([25, FAR, FAR]))


def test_blocks_of_queries_change_nothing(monkeypatch):
    points, queries = cloud(0, 40, "grid"), cloud(1, 23, "grid")
    whole = reference.nearest(points, queries, 5)
    monkeypatch.setattr(reference, "BLOCK", 2 * 40 * 4)  # six blocks, the last not full
    for mine, wanted in zip(reference.nearest(points, queries, 5), whole, strict=True):
        np.testing.assert_array_equal(mine, wanted)


def test_a_dense_frame_needs_little_memory():
    """A KITTI frame's pixels among 8,192 points: all distances would be 15 GB."""
    shapes = (jax.ShapeDtypeStruct((1, n, 3), jnp.float32) for n in (8192, 467_000))
    compiled = search.lower(*shapes, 3).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 300e6


@FEW
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["anywhere", "grid"]),
    samples=st.sampled_from([1, 9, 40]),
)
def test_sampled_points_are_those_of_the_published_threads(seed, kind, samples):
    points = cloud(seed, 40, kind)
    for mine, one in zip(sample(points, samples), points, strict=True):
        assert list(mine) == published_sampling(one, samples)


def test_equally_far_points_of_several_rounds_of_threads():
    points = np.zeros((1, 2500, 3), np.float32)
    points[0, 1:, 0] = 1.0
    assert sample(points, 3).tolist() == [published_sampling(points[0], 3)]


def test_interpolation_at_a_point_is_a_copy_with_finite_gradients():
    points = jnp.asarray(cloud(3, 10, "anywhere"))
    features = jnp.asarray(cloud(4, 10, "anywhere"))
    queries = jnp.concatenate([points[:, :4], points[:, 4:] + 0.1], axis=1)

    def total(points, queries):
        values = point_interpolation(points, features, queries)
        return jnp.sum(jnp.sin(values)), values

    gradients, values = jax.jit(jax.grad(total, (0, 1), has_aux=True))(points, queries)
    np.testing.assert_allclose(values[:, :4], features[:, :4], rtol=1e-5)
    assert all(np.isfinite(g).all() for g in gradients)
    step = 1e-2
    moved = queries.at[0, 6, 1].add(step), queries.at[0, 6, 1].add(-step)
    slope = (total(points, moved[0])[0] - total(points, moved[1])[0]) / (2 * step)
    np.testing.assert_allclose(gradients[1][0, 6, 1], slope, rtol=0.05, atol=1e-3)


def test_point_convolutions_and_their_gradients_are_sums_and_maxima():
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(2, 9, 4)), rng.normal(size=(2, 5, 3, 4))
    features, weights = features.astype(np.float32), weights.astype(np.float32)
    neighbours = rng.integers(0, 9, (2, 5, 3))

    def naive(features, weights):
        grouped = jax.vmap(lambda f, i: f[i])(features, neighbours)
        return jnp.max(grouped * weights, axis=2)

    def both(function):
        value, pull = jax.vjp(function, features, weights)
        return value, *pull(jnp.cos(value))

    wanted = both(naive)
    got = jax.jit(lambda: both(lambda f, w: depthwise_point_convolution(f, w, neighbours)))()
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    grouped = np.stack([f[i] for f, i in zip(features, neighbours, strict=True)])
    summed = np.einsum("bmkw,bmkc->bmwc", weights, grouped).reshape(2, 5, 16)
    np.testing.assert_allclose(
        point_convolution(features, weights, neighbours), summed, rtol=1e-4, atol=1e-5
    )


POINTS = np.zeros((2, 5, 3), np.float32)
BAD = {
    "k is no whole number": (
        lambda: k_nearest_neighbours(POINTS, POINTS, 1.5),
        "k=1.5: expected 1 to 5",
    ),
    "k above n": (lambda: k_nearest_neighbours(POINTS, POINTS, 6), "k=6: expected 1 to 5"),
    "k above 64": (
        lambda: k_nearest_neighbours(np.zeros((1, 80, 3)), np.zeros((1, 80, 3)), 65),
        "k=65: expected 1 to 64",
    ),
    "axes": (lambda: k_nearest_neighbours(POINTS, POINTS[..., :2], 1), "expected equal b and d"),
    "empty": (lambda: k_nearest_neighbours(POINTS[:, :0], POINTS, 1), "nothing empty"),
    "implementation": (
        lambda: k_nearest_neighbours(POINTS, POINTS, 1, implementation="refrence"),
        "did you mean 'reference'",
    ),
    "samples in words": (lambda: furthest_point_sampling(POINTS, "3"), "samples=3: expected 1 to"),
    "too few": (lambda: furthest_point_sampling(POINTS, 6), "samples=6: expected 1 to 5"),
    "weights": (
        lambda: depthwise_point_convolution(POINTS, np.zeros((2, 4, 2, 2)), np.zeros((2, 4, 2))),
        "a weight for each channel",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(name):
    call, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
