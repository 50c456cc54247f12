"""Block aggregation against its definition over pairs of voxels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.ops import sparse_voxels as sv
from jaxvision.ops import voxel_aggregation as va
from jaxvision.ops.voxel_aggregation import chunks
from ops.voxel_scenes import CAPACITY, padded, scenes

unique = jax.jit(sv.unique_sites, static_argnums=2)
blocks_of = jax.jit(va.build_block_map, static_argnums=(1, 2, 3))
aggregate = jax.jit(va.aggregate, static_argnums=4)
CHANNELS = 3
PROJECTION = np.random.default_rng(1).standard_normal((CHANNELS, 3)).astype(np.float32)
FEATURES = np.random.default_rng(2).standard_normal((1, CAPACITY, CHANNELS)).astype(np.float32)


def by_pairs(features, projection, coords, edge, per_axis, form):
    """The definition: a mean over all voxels in reach, one pair at a time, in float64."""
    count = len(coords)
    xyz = np.array(coords).reshape(-1, 4)
    block = np.concatenate([xyz[:, :1], xyz[:, 1:] // edge], axis=1)
    step = block[None] - block[:, None]  # i, j
    low, high = -((per_axis - 1) // 2), per_axis // 2
    near = (step[..., 0] == 0) & (step[..., 1:] >= low).all(-1) & (step[..., 1:] <= high).all(-1)
    p = xyz[:, 1:] @ np.asarray(projection, np.float64).T
    g = np.asarray(features, np.float64)[0, :count]
    delta = p[:, None] - p[None]
    wave = {"mean": np.ones_like(delta), "cos": np.cos(delta), "sin": -np.sin(delta)}
    wave |= {"cos_sin": wave["cos"] + wave["sin"], "x": np.zeros_like(delta), "cos_x": wave["cos"]}
    kernel = wave[form] + (p[None] if form in ("x", "cos_x") else 0)
    out = np.zeros((features.shape[1], CHANNELS))
    out[:count] = np.sum(near[..., None] * kernel * g[None], 1) / near.sum(1)[:, None]
    if form in ("x", "cos_x"):
        out[:count] -= g * p
    return out


@settings(max_examples=60, deadline=None)
@given(scenes, st.sampled_from([(3, 2), (2, 3), (1, 3), (4, 3)]), st.sampled_from(va.FORMS))
def test_every_form_by_definition(coords, reach, form):
    sites, _, _ = unique(*padded(coords), CAPACITY)
    out = aggregate(FEATURES, PROJECTION, sites, blocks_of(sites, *reach), form)
    ordered = sorted(set(coords))
    want = by_pairs(FEATURES, PROJECTION, ordered, *reach, form)
    np.testing.assert_allclose(np.asarray(out)[0], want, atol=2e-5)


def scene(seed: int = 0, extent: int = 12) -> sv.Sites:
    coords = np.random.default_rng(seed).integers(0, extent, (CAPACITY, 4)) % (2, 99, 99, 99)
    return unique(*padded([tuple(c) for c in coords]), CAPACITY)[0]


@pytest.mark.parametrize("form", va.FORMS)
def test_gradients_by_central_differences(form):
    sites = scene()
    blocks = blocks_of(sites, 3, 2)

    def loss(features, projection):
        return jnp.sum(jnp.sin(va.aggregate(features, projection, sites, blocks, form)))

    gradients = jax.jit(jax.grad(loss, (0, 1)))(FEATURES, PROJECTION)
    ordered = [tuple(c) for c in np.asarray(sites.coords)[0, : int(sites.count[0])]]
    draw = np.random.default_rng(5)
    arguments = [FEATURES.astype(np.float64), PROJECTION.astype(np.float64)]
    for which, gradient in enumerate(gradients):
        direction = draw.standard_normal(arguments[which].shape)
        ends = []
        for sign in (1, -1):
            moved = list(arguments)
            moved[which] = moved[which] + sign * 1e-5 * direction
            ends.append(np.sin(by_pairs(*moved, ordered, 3, 2, form)).sum())
        slope = (ends[0] - ends[1]) / 2e-5
        assert np.sum(np.asarray(gradient) * direction) == pytest.approx(slope, rel=2e-4, abs=1e-4)


@pytest.mark.parametrize("form", ["mean", "cos"])
def test_chunks_do_not_change_the_result(form, monkeypatch):
    """Also where the last chunk overlaps the one before; and none for blocks that do not exist."""
    sites = scene(8, 6)
    blocks = blocks_of(sites, 2, 3)
    assert 7 < int(blocks.blocks.count[0]) < CAPACITY - 7

    def both(features, projection):
        value, pull = jax.vjp(
            lambda f, w: va.aggregate(f, w, sites, blocks, form), features, projection
        )
        return value, *pull(value)

    whole = jax.jit(lambda f, w: both(f, w))(FEATURES, PROJECTION)
    monkeypatch.setattr(chunks, "CHUNK", 7)
    for a, b in zip(jax.jit(both)(FEATURES, PROJECTION), whole, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6 * max(1, float(jnp.abs(b).max())))


def test_gradients_are_the_same_bits_in_twenty_runs():
    sites = scene(3)
    blocks = blocks_of(sites, 3, 3)
    gradient = jax.jit(
        jax.grad(lambda f, w: jnp.sum(va.aggregate(f, w, sites, blocks, "cos_x") ** 2), (0, 1))
    )
    first = gradient(FEATURES, PROJECTION)
    for _ in range(20):
        for a, b in zip(first, gradient(FEATURES, PROJECTION), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", ["cos", "sin"])
def test_far_scenes_lose_no_precision(form):
    """A shift by whole blocks changes no bit, where absolute phases would have lost digits."""
    sites = scene(4)
    moved = sv.Sites(
        sites.coords + jnp.asarray((0, 30000, -30000, 600)), sites.count, sites.overflow
    )
    near = aggregate(FEATURES, PROJECTION, sites, blocks_of(sites, 3, 3), form)
    far = aggregate(FEATURES, PROJECTION, moved, blocks_of(moved, 3, 3), form)
    np.testing.assert_array_equal(near, far)


def test_bfloat16_features_stay_close_and_keep_their_dtype():
    sites = scene(6)
    blocks = blocks_of(sites, 3, 3)
    exact = aggregate(FEATURES, PROJECTION, sites, blocks, "cos")
    rounded = aggregate(FEATURES.astype(jnp.bfloat16), PROJECTION, sites, blocks, "cos")
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded.astype(np.float32), exact, atol=0.03)


def test_blocks_beyond_the_capacity_are_counted_and_give_zeros():
    sites = scene(7)
    full, tight = blocks_of(sites, 2, 3), blocks_of(sites, 2, 3, 5)
    assert int(tight.blocks.overflow[0]) == int(full.blocks.count[0]) - 5 > 0
    out = np.asarray(aggregate(FEATURES, None, sites, tight, "mean"))[0]
    lost = np.asarray(tight.block_of)[0] == 5
    assert (out[lost] == 0).all()
    assert (out[~lost] != 0).any(axis=-1).all()


def test_scans_of_other_sizes_do_not_compile_again():
    def run(coords, valid):
        sites, _, _ = sv.unique_sites(coords, valid, CAPACITY)
        blocks = va.build_block_map(sites, 3, 3)
        return va.aggregate(FEATURES, PROJECTION, sites, blocks, "cos")

    jitted = jax.jit(run)
    for count in (0, 1, 17, CAPACITY):
        jitted(*padded([(0, i, 0, 0) for i in range(count)]))
    assert jitted._cache_size() == 1
