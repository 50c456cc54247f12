"""Block aggregation: every kernel against the reference, values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.ops import sparse_voxels as sv
from jaxvision.ops import voxel_aggregation as va
from jaxvision.ops.voxel_aggregation import mosaic_tpu, triton
from ops.voxel_scenes import CAPACITY, padded, scenes, wide_scene
from tpu_interpreter import STRICT, races_found

CHANNELS = 5
KERNELS = {"mosaic_tpu": mosaic_tpu.means, "triton": triton.means}
# Edge and blocks per axis that each form is tried with.
REACH = dict(zip(va.FORMS, [(3, 2), (2, 3), (3, 3), (1, 2), (2, 2), (3, 2)], strict=True))


@functools.cache
def runner(name: str, form: va.Form, interpret=True):
    """The op and both gradients of two shards of coordinates."""
    aggregate = va.IMPLEMENTATIONS["reference"]
    if name in KERNELS:
        aggregate = va.with_means(functools.partial(KERNELS[name], interpret=interpret))

    @jax.jit
    def run(coords, valid, features, projection, cotangent):
        sites, _, _ = sv.unique_sites(coords, valid, coords.shape[1])
        blocks = va.build_block_map(sites, *REACH[form])
        value, pull = jax.vjp(
            lambda f, w: aggregate(f, w, sites, blocks, form), features, projection
        )
        return value, *pull(cotangent)

    return run


def drawn(seed: int, *both: list[tuple], rows: int = CAPACITY):
    rng = np.random.default_rng(seed)
    coords, valid = (
        np.concatenate(arrays) for arrays in zip(*(padded(c, rows) for c in both), strict=True)
    )
    features, cotangent = rng.standard_normal((2, len(both), rows, CHANNELS), np.float32)
    return coords, valid, features, rng.standard_normal((CHANNELS, 3), np.float32), cotangent


def assert_equal(got, wanted, tolerance: float):
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("form", va.FORMS)
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=scenes, second=scenes, seed=st.integers(0, 2**31))
def test_kernels_equal_the_reference(kernel, form, first, second, seed):
    arguments = drawn(seed, first, second)
    assert_equal(runner(kernel, form)(*arguments), runner("reference", form)(*arguments), 3e-6)


FULL = [(0, x, y, z) for x in range(5) for y in range(-4, 4) for z in range(-1, 0)]


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "both", [([], FULL), (FULL[:1], [(2, -9, -9, -9)])], ids=["empty and full", "one voxel"]
)
def test_empty_and_full_scans(kernel, both):
    arguments = drawn(0, *both)
    assert_equal(
        runner(kernel, "cos_x")(*arguments), runner("reference", "cos_x")(*arguments), 3e-6
    )


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
def test_windows_wider_than_a_piece_are_exact(kernel):
    """A few voxels beside a dense wall, so that a tile's neighbours fill several pieces."""
    arguments = drawn(1, wide_scene(), rows=800)
    form = "cos_sin"  # blocks of one voxel
    assert REACH[form][0] == 1
    assert_equal(runner(kernel, form)(*arguments), runner("reference", form)(*arguments), 3e-6)


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
def test_voxels_of_blocks_without_room(kernel):
    coords, valid, features, projection, cotangent = drawn(6, FULL)
    sites, _, _ = sv.unique_sites(coords, valid, CAPACITY)
    blocks = va.build_block_map(sites, 2, 3, 5)
    assert int(blocks.blocks.overflow[0]) > 0
    kernel = va.with_means(functools.partial(KERNELS[kernel], interpret=True))

    def run(aggregate):
        value, pull = jax.vjp(
            lambda f, w: aggregate(f, w, sites, blocks, "cos_x"), features, projection
        )
        return value, *pull(cotangent)

    assert_equal(
        jax.jit(lambda: run(kernel))(),
        jax.jit(lambda: run(va.IMPLEMENTATIONS["reference"]))(),
        3e-6,
    )


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16(kernel):
    coords, valid, features, projection, cotangent = drawn(2, FULL)
    exact = runner("reference", "cos")(coords, valid, features, projection, cotangent)
    half = [jnp.asarray(a, jnp.bfloat16) for a in (features, cotangent)]
    got = runner(kernel, "cos")(coords, valid, half[0], projection, half[1])
    assert [g.dtype for g in got] == [jnp.bfloat16, jnp.bfloat16, jnp.float32]
    for ours, theirs in zip(got, exact, strict=True):
        error = jnp.linalg.norm(ours.astype(jnp.float32) - theirs) / jnp.linalg.norm(theirs)
        assert float(error) < 0.02


@pytest.mark.xdist_group("interpreted_kernels")
def test_no_races_and_no_reads_out_of_bounds_on_a_tpu():
    arguments = drawn(3, FULL, FULL[:7])
    got = runner("mosaic_tpu", "cos_x", STRICT)(*arguments)
    assert_equal(got, runner("reference", "cos_x")(*arguments), 3e-6)
    assert not races_found()


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_the_same_bits_in_twenty_runs(kernel):
    arguments = drawn(4, FULL, FULL[5:])
    first = runner(kernel, "cos_x")(*arguments)
    for _ in range(20):
        for a, b in zip(first, runner(kernel, "cos_x")(*arguments), strict=True):
            np.testing.assert_array_equal(a, b)


def test_bad_input_is_refused():
    coords, valid, features, projection, _ = drawn(5, FULL)
    sites, _, _ = sv.unique_sites(coords, valid, CAPACITY)
    blocks = va.build_block_map(sites, 3, 3)
    with pytest.raises(InputError, match="form 'tan': expected one of mean, cos"):
        va.aggregate(features, projection, sites, blocks, "tan")
    with pytest.raises(InputError, match="'cos' needs a projection"):
        va.aggregate(features, None, sites, blocks, "cos")
    with pytest.raises(InputError, match="needs a TPU"):
        va.aggregate(features, projection, sites, blocks, "cos", "mosaic_tpu")
