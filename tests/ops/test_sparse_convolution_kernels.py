"""Sparse convolution: every kernel against the reference, values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.ops import sparse_voxels as sv
from jaxvision.ops.sparse_voxels import existing_pairs, mosaic_tpu, pairs, reference, triton
from ops.voxel_scenes import CAPACITY, padded, scenes, wide_scene
from tpu_interpreter import STRICT, races_found

INPUTS, OUTPUTS = 3, 5
KERNELS = {"mosaic_tpu": mosaic_tpu.convolve, "triton": triton.convolve}
# Size, stride and padding; "up" is the transposed layer.
LAYERS = {
    "submanifold": ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
    "down": ((2, 2, 2), (2, 2, 2), (0, 0, 0)),
    "up": ((2, 2, 2), (2, 2, 2), (0, 0, 0)),
    "strided": ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    "along z": ((1, 1, 3), (1, 1, 2), (0, 0, 0)),
}


@functools.cache
def runner(name: str, layer: str, interpret=True):
    """The op and both gradients of two shards of coordinates."""
    convolve = {"reference": reference.convolve, "pairs": pairs.convolve}.get(name)
    if name in KERNELS:
        convolve = functools.partial(KERNELS[name], interpret=interpret)

    @jax.jit
    def run(coords, valid, features, weights, cotangent):
        sites, _, _ = sv.unique_sites(coords, valid, coords.shape[1])
        size, stride, padding = LAYERS[layer]
        if layer == "submanifold":
            neighbours = sv.submanifold_map(sites, 3)
        else:
            capacity = sites.capacity + 3
            coarse, _ = sv.strided_sites(sites, size, stride, padding, None, capacity)
            neighbours = sv.build_kernel_map(sites, coarse, size, stride, padding)
        if layer == "up":
            neighbours = neighbours.transpose()
        rows, outputs = neighbours.outputs.shape[2], neighbours.inputs.shape[2]
        features, weights = features[:, :rows], weights[: neighbours.inputs.shape[1]]
        value, pull = jax.vjp(lambda f, w: convolve(f, w, neighbours), features, weights)
        return value, *pull(cotangent[:, :outputs])

    return run


def drawn(seed: int, *both: list[tuple], rows: int = CAPACITY):
    """Features and cotangents with rows to spare for coarser sites."""
    rng = np.random.default_rng(seed)
    coords, valid = (
        np.concatenate(arrays) for arrays in zip(*(padded(c, rows) for c in both), strict=True)
    )
    features, cotangent = (
        rng.standard_normal((len(both), rows + 3, channels), np.float32)
        for channels in (INPUTS, OUTPUTS)
    )
    return (
        coords,
        valid,
        features,
        rng.standard_normal((27, INPUTS, OUTPUTS), np.float32),
        cotangent,
    )


def assert_equal(got, wanted):
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * scale)


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=scenes, second=scenes, seed=st.integers(0, 2**31))
def test_kernels_equal_the_reference(kernel, layer, first, second, seed):
    arguments = drawn(seed, first, second)
    assert_equal(runner(kernel, layer)(*arguments), runner("reference", layer)(*arguments))


@pytest.mark.parametrize("layer", LAYERS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=scenes, second=scenes, seed=st.integers(0, 2**31))
def test_pairs_equal_the_reference(layer, first, second, seed):
    arguments = drawn(seed, first, second)
    assert_equal(runner("pairs", layer)(*arguments), runner("reference", layer)(*arguments))


def test_pairs_of_several_chunks_and_features_of_padding_rows_that_are_no_numbers(monkeypatch):
    monkeypatch.setattr(pairs, "chunk_size", lambda *channels: 128)
    coords, valid, features, *others = drawn(1, wide_scene(), rows=800)
    features[:, int(valid.sum()) :] = np.nan
    arguments = coords, valid, features, *others
    got = runner.__wrapped__("pairs", "submanifold")(*arguments)
    assert all(np.isfinite(values).all() for values in got)
    assert_equal(got, runner("reference", "submanifold")(*arguments))


@pytest.mark.parametrize("rows", [1, 5, 300, 1025])
def test_every_chunk_size_divides_the_lists(rows):
    lists = existing_pairs.list_pairs(jnp.zeros((1, 1, rows), jnp.int32), rows, jnp.ones(1))
    length = lists.inputs.shape[2]
    assert length >= rows
    for inputs, outputs in [(1, 1), (5, 8), (16, 32), (33, 20), (128, 64), (5000, 1)]:
        size = pairs.chunk_size(inputs, outputs)
        assert 256 <= size <= 1024
        assert length <= size or length % size == 0


FULL = [(0, x, y, -1) for x in range(5) for y in range(-4, 4)]


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "both", [([], FULL), (FULL[:1], [(2, -9, -9, -9)])], ids=["empty and full", "one voxel"]
)
def test_empty_and_full_scans(kernel, both):
    arguments = drawn(0, *both)
    layer = "submanifold"
    assert_equal(runner(kernel, layer)(*arguments), runner("reference", layer)(*arguments))


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
def test_windows_wider_than_a_piece_are_exact(kernel):
    """A few voxels beside a dense wall, so that a tile's neighbours fill several pieces."""
    arguments = drawn(1, wide_scene(), rows=800)
    layer = "submanifold"
    assert_equal(runner(kernel, layer)(*arguments), runner("reference", layer)(*arguments))


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16(kernel):
    coords, valid, *arrays = drawn(2, FULL)
    exact = runner("reference", "submanifold")(coords, valid, *arrays)
    half = [jnp.asarray(a, jnp.bfloat16) for a in arrays]
    got = runner(kernel, "submanifold")(coords, valid, *half)
    for ours, theirs in zip(got, exact, strict=True):
        assert ours.dtype == jnp.bfloat16
        error = jnp.linalg.norm(ours.astype(jnp.float32) - theirs) / jnp.linalg.norm(theirs)
        assert float(error) < 0.01


@pytest.mark.xdist_group("interpreted_kernels")
def test_no_races_and_no_reads_out_of_bounds_on_a_tpu():
    arguments = drawn(3, FULL, FULL[:7])
    got = runner("mosaic_tpu", "strided", STRICT)(*arguments)
    assert_equal(got, runner("reference", "strided")(*arguments))
    assert not races_found()


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", ["reference", "pairs", *KERNELS])
def test_gradients_are_the_same_bits_in_twenty_runs(kernel):
    arguments = drawn(4, FULL, FULL[5:])
    first = runner(kernel, "submanifold")(*arguments)
    for _ in range(20):
        for a, b in zip(first, runner(kernel, "submanifold")(*arguments), strict=True):
            np.testing.assert_array_equal(a, b)


def test_scans_of_other_sizes_do_not_compile_again():
    run = runner("reference", "down")
    for count in (0, 1, 17, CAPACITY):
        run(*drawn(5, FULL[:count], FULL))
        if count == 0:
            compiled = run._cache_size()
    assert run._cache_size() == compiled


def test_bad_input_is_refused():
    sites, _, _ = sv.unique_sites(*padded(FULL), CAPACITY)
    neighbours = sv.submanifold_map(sites, 3)
    features, weights = np.zeros((1, CAPACITY, 3)), np.zeros((27, 3, 4))
    with pytest.raises(InputError, match=r"weights \(8, 3, 4\).*expected \(27, 3, 'out'\)"):
        sv.sparse_convolution(features, weights[:8], neighbours)
    with pytest.raises(InputError, match=r"a map of \(1, 40\) shards and rows"):
        sv.sparse_convolution(features[:, 1:], weights, neighbours)
    with pytest.raises(InputError, match="needs a TPU"):
        sv.sparse_convolution(features, weights, neighbours, "mosaic_tpu")
