"""Sparse voxels against brute force over dictionaries."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.ops import sparse_voxels as sv
from ops.voxel_scenes import CAPACITY, padded, scenes

unique = jax.jit(sv.unique_sites, static_argnums=(2, 3))
find = jax.jit(sv.find)
coarsen = jax.jit(sv.coarse_sites, static_argnums=(1, 2))
kernel_map = jax.jit(sv.submanifold_map, static_argnums=1)
convolve = jax.jit(sv.sparse_convolution)
strided = jax.jit(sv.strided_sites, static_argnums=(1, 2, 3, 4, 5))
general_map = jax.jit(sv.build_kernel_map, static_argnums=(2, 3, 4))
small = settings(max_examples=40, deadline=None)


def listed(sites: sv.Sites) -> list[tuple]:
    return [tuple(map(int, row)) for row in np.asarray(sites.coords)[0, : int(sites.count[0])]]


def features_of(rows: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, rows, channels)).astype(np.float32)


@small
@given(scenes, st.sampled_from([1, 7, CAPACITY]))
def test_unique_is_sorted_set_and_counts_overflow(coords, capacity):
    sites, row_of, first = unique(*padded(coords), capacity)
    wanted = sorted(set(coords))
    assert listed(sites) == wanted[:capacity]
    assert int(sites.overflow[0]) == max(len(wanted) - capacity, 0)
    place = {c: i for i, c in enumerate(wanted[:capacity])}
    rows = [place.get(c, capacity) for c in coords]
    assert np.asarray(row_of)[0].tolist() == rows + [capacity] * (CAPACITY - len(coords))
    firsts = [coords.index(c) for c in wanted[:capacity]]
    assert np.asarray(first)[0].tolist() == firsts + [CAPACITY] * (capacity - len(firsts))


@small
@given(scenes, scenes)
def test_find_agrees_with_dictionary(coords, queries):
    sites, _, _ = unique(*padded(coords), CAPACITY)
    place = {c: i for i, c in enumerate(sorted(set(coords)))}
    rows = np.asarray(find(sites, padded(queries)[0]))[0, : len(queries)]
    assert rows.tolist() == [place.get(q, CAPACITY) for q in queries]


def test_edges_of_the_representable_range():
    low, high = (0, -(1 << 17), -(1 << 17), -(1 << 13)), (5, (1 << 17) - 1, 3, (1 << 13) - 1)
    outside = [(0, 1 << 17, 0, 0), (0, 0, 0, -(1 << 13) - 1), (-1, 0, 0, 0)]
    sites, row_of, _ = unique(*padded([high, low, *outside], 5), 5)
    assert listed(sites) == [low, high]
    assert int(sites.overflow[0]) == len(outside)
    assert np.asarray(row_of)[0].tolist() == [1, 0, 5, 5, 5]
    # Neighbours beyond the edge do not wrap into another column.
    beyond = [(5, (1 << 17) - 1, 2, 1 << 13), (0, 1 << 17, 0, 0)]
    assert np.asarray(find(sites, padded(beyond, 2)[0]))[0].tolist() == [5, 5]
    runs = sv.find_runs(sites, jnp.asarray([[(0, -(1 << 17), -(1 << 17), -(1 << 13) - 2)]]), 3)
    assert np.asarray(runs)[0, 0].tolist() == [5, 5, 0]


@small
@given(scenes, st.sampled_from([1, 2, 3]))
def test_submanifold_convolution_by_definition(coords, size):
    sites, _, _ = unique(*padded(coords), CAPACITY)
    features = features_of(CAPACITY, 2)
    weights = features_of(size**3, 6, 1)[0].reshape(-1, 2, 3)
    out = np.asarray(convolve(features, weights, kernel_map(sites, size)))[0]
    place = {c: i for i, c in enumerate(sorted(set(coords)))}
    reach = range(-((size - 1) // 2), size - (size - 1) // 2)
    want = np.zeros((CAPACITY, 3), np.float32)
    for (b, x, y, z), row in place.items():
        for k, (dx, dy, dz) in enumerate(itertools.product(reach, repeat=3)):
            if (b, x + dx, y + dy, z + dz) in place:
                want[row] += features[0, place[b, x + dx, y + dy, z + dz]] @ weights[k]
    np.testing.assert_allclose(out, want, atol=1e-5)


SHAPES = [((2, 2, 2), (2, 2, 2), (0, 0, 0)), ((3, 3, 3), (2, 2, 2), (1, 1, 1))]
SHAPES += [((1, 1, 3), (1, 1, 2), (0, 0, 0)), ((2, 3, 1), (1, 2, 1), (0, 1, 0))]


@small
@given(scenes, st.sampled_from(SHAPES), st.sampled_from([None, (3, 4, 4)]))
def test_strided_map_by_definition(coords, layer, shape):
    size, stride, padding = layer
    if shape is not None:
        coords = [c for c in coords if all(0 <= v < n for v, n in zip(c[1:], shape, strict=True))]
    sites, _, _ = unique(*padded(coords), CAPACITY)
    coarse, extent = strided(sites, size, stride, padding, shape, 8 * CAPACITY)
    extent = extent and tuple(map(int, extent))
    pairs = set()
    for b, *site in set(coords):
        for k in itertools.product(*map(range, size)):
            moved = [i + p - j for i, p, j in zip(site, padding, k, strict=True)]
            o = tuple(m // s for m, s in zip(moved, stride, strict=True))
            inside = extent is None or all(0 <= v < n for v, n in zip(o, extent, strict=True))
            if inside and all(m % s == 0 for m, s in zip(moved, stride, strict=True)):
                pairs.add(((b, *site), k, (b, *o)))
    assert listed(coarse) == sorted({o for _, _, o in pairs})
    neighbours = general_map(sites, coarse, size, stride, padding)
    fine, cells, offsets = listed(sites), listed(coarse), sv.kernel_indices(size).tolist()
    for table, missing, forward in [
        (neighbours.inputs, sites.capacity, True),
        (neighbours.outputs, coarse.capacity, False),
    ]:
        got = set()
        for k, row in np.argwhere(np.asarray(table)[0] != missing):
            other = int(table[0, k, row])
            i, o = (other, row) if forward else (row, other)
            got.add((fine[i], tuple(offsets[k]), cells[o]))
        assert got == pairs


@pytest.mark.parametrize("transposed", [False, True])
def test_convolution_gradients_are_those_of_the_plain_sum(transposed):
    coords = [tuple(c) for c in np.random.default_rng(3).integers(-2, 3, (30, 4)) % (2, 9, 9, 9)]
    sites, _, _ = unique(*padded(coords), CAPACITY)
    coarse, _ = coarsen(sites, 2, 20)
    neighbours = sv.build_kernel_map(sites, coarse, (2, 2, 2), (2, 2, 2), (0, 0, 0))
    rows = CAPACITY
    if transposed:
        neighbours, rows = neighbours.transpose(), 20
    weights = jnp.asarray(features_of(8, 6, 1)[0].reshape(8, 2, 3))

    def plain(features, weights):
        return jnp.einsum("skoc,kcd->sod", sv.gather_rows(features, neighbours.inputs), weights)

    def loss(op, *arguments):
        return jnp.sum(jnp.sin(op(*arguments)))

    features = jnp.asarray(features_of(rows, 2))
    got = jax.jit(jax.grad(lambda f, w: loss(sv.sparse_convolution, f, w, neighbours), (0, 1)))
    want = jax.jit(jax.grad(lambda f, w: loss(plain, f, w), (0, 1)))
    for a, b in zip(got(features, weights), want(features, weights), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@small
@given(scenes, st.randoms(use_true_random=False))
def test_order_of_the_input_rows_does_not_matter(coords, random):
    shuffled = coords[:]
    random.shuffle(shuffled)
    a, b = (unique(*padded(c), CAPACITY)[0] for c in (coords, shuffled))
    np.testing.assert_array_equal(a.coords, b.coords)


@small
@given(scenes, st.sampled_from([2, 3, 7]))
def test_coarse_cells_floor_negative_coordinates(coords, edge):
    sites, _, _ = unique(*padded(coords), CAPACITY)
    coarse, cell_of = coarsen(sites, edge, CAPACITY)
    cell = {c: (c[0], *(v // edge for v in c[1:])) for c in set(coords)}
    assert listed(coarse) == sorted(set(cell.values()))
    assert coarse.stride == (edge, edge, edge)
    for row, site in enumerate(listed(sites)):
        assert listed(coarse)[int(cell_of[0, row])] == cell[site]
    assert (np.asarray(cell_of)[0, int(sites.count[0]) :] == CAPACITY).all()


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_quantise_rounds_and_counts_points_it_cannot_place(rounding):
    points = np.array([[[0.5, 1.5, -0.5], [0.4, 1.6, -0.4], [np.nan, 0, 0], [1e9, 0, 0]]])
    sites, row_of, first = sv.quantise(
        points, np.zeros((1, 4), np.int32), np.ones((1, 4), bool), 1.0, 4, rounding
    )
    both = {"nearest": [(0, 0, 2, 0)], "floor": [(0, 0, 1, -1)]}[rounding]
    assert listed(sites) == both
    assert np.asarray(row_of)[0].tolist() == [0, 0, 4, 4]
    assert int(first[0, 0]) == 0
    assert int(sites.overflow[0]) == 2


def test_pool_means_and_maxima():
    features = np.array([[[1.0, -4], [3, -2], [5, -9], [100, 100]]], np.float32)
    cell_of = np.array([[1, 1, 0, 3]], np.int32)
    mean = sv.pool(features, cell_of, 3)
    np.testing.assert_array_equal(mean[0], [[5, -9], [2, -3], [0, 0]])
    np.testing.assert_array_equal(
        sv.pool(features, cell_of, 3, "max")[0], [[5, -9], [3, -2], [0, 0]]
    )


def test_trilinear_is_exact_on_a_linear_field_and_rescaled_at_a_border():
    grid = list(itertools.product((0,), range(3), range(3), range(3)))
    sites, _, _ = unique(*padded(grid), CAPACITY)
    features = np.asarray(sites.coords, np.float32)[..., 1:] @ np.array(
        [[1.0], [10], [100]], np.float32
    )
    points = np.array([[[0.25, 1.5, 1.75], [2.5, 1, 1], [9, 9, 9]]], np.float32)
    out = sv.devoxelise_trilinear(features, sites, points, np.zeros((1, 3), np.int32))
    np.testing.assert_allclose(np.asarray(out)[0, :, 0], [190.25, 112, 0], rtol=1e-6)


def test_dense_grid_places_every_voxel():
    coords = [(1, 2, 0, 1), (0, 0, 3, 0), (1, 5, 0, 0)]
    sites, _, _ = unique(*padded(coords, 3), 3)
    dense = np.asarray(sv.dense_grid(np.ones((1, 3, 1), np.float32), sites, 2, (3, 4, 2)))
    assert np.argwhere(dense[0, ..., 0]).tolist() == [[0, 0, 3, 0], [1, 1, 0, 2]]
