"""Networks of video by settings alone: parameters, official names, what is frozen or refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.nn.resnet3d import NonLocal, ResNet3D, Stage
from jaxvision.nn.resnet3d_config import (
    BlockShape,
    NonLocalConfig,
    NormConfig,
    ResNet3DConfig,
    dilated_network,
    strided_network,
)
from jaxvision.weights.convert import our_shapes
from jaxvision.weights.mapping import flatten
from jaxvision.weights.resnet3d_entries import alphaction_entries, pyslowfast_entries

NON_LOCAL = NonLocalConfig(weighting="mean", pool=(2, 2, 2))
NORM = NormConfig()
# Millions of weights as published (dilated: without norms).
STRIDED = {
    31.634: strided_network(50, two_pathways=False, norm=NORM),
    33.644: strided_network(50, two_pathways=True, norm=NORM),
    59.158: strided_network(
        101, two_pathways=True, fusion_window=5, non_local=NON_LOCAL, norm=NORM
    ),
}
DILATED = {depth: dilated_network(depth, norm=NormConfig(frozen=True)) for depth in (50, 101)}


def size(entries, *, norms: bool) -> float:
    counted = [
        entry
        for entry in entries
        if (entry.path or "").startswith("params/") and (norms or "/norm/" not in entry.path)
    ]
    return sum(math.prod(entry.shape) for entry in counted) / 1e6


@pytest.mark.parametrize("millions", STRIDED)
def test_strided_networks_are_as_large_as_published(millions):
    entries = pyslowfast_entries(STRIDED[millions], "", "params")
    assert size(entries, norms=True) == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("depth", "millions"), [(50, 33.50), (101, 61.79)])
def test_dilated_networks_are_as_large_as_published(depth, millions):
    entries = alphaction_entries(DILATED[depth], "", "params", False)
    assert size(entries, norms=False) == pytest.approx(millions, abs=6e-3)


def shapes_of(network: ResNet3DConfig) -> dict:
    slow, fast = (jnp.zeros((1, frames, 64, 64, 3)) for frames in (2, 8))
    init = jax.eval_shape(
        ResNet3D(network).init, jax.random.key(0), slow, fast if network.fast else None
    )
    return {name: leaf.shape for name, leaf in flatten(nn.meta.unbox(init)).items()}


@pytest.mark.parametrize(
    ("network", "entries"),
    [
        (STRIDED[59.158], pyslowfast_entries(STRIDED[59.158], "", "params")),
        (DILATED[50], alphaction_entries(DILATED[50], "", "params", False)),
    ],
    ids=["strided", "dilated"],
)
def test_every_weight_has_an_official_name(network, entries):
    assert shapes_of(network) == our_shapes(entries)


BLOCKS = (
    BlockShape(4, 4, 16, 3, 1, 1, True, NonLocalConfig(weighting="softmax", pool=(1, 2, 2))),
    BlockShape(16, 4, 16, 1, 1, 1, False),
)


def test_recomputed_blocks_and_frozen_norms():
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6, 4)).astype(np.float32)
    frozen = NormConfig(frozen=True)
    variables = Stage(BLOCKS, NORM).init(jax.random.key(0), x, True)

    @jax.jit
    def run(variables, x):
        def loss(params, module, train):
            apply = module.apply
            y, state = apply(variables | {"params": params}, x, train, mutable=["batch_stats"])
            return jnp.sum(y**2), (y, state)

        slope = jax.grad(loss, has_aux=True)
        stages = (Stage(BLOCKS, frozen), Stage(BLOCKS, frozen, remat=True), Stage(BLOCKS, NORM))
        return [
            *(slope(variables["params"], stage, True) for stage in stages),
            slope(variables["params"], stages[2], False),
        ]

    kept, again, trained, evaluated = run(variables, x)
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    # Frozen: training is evaluation, and statistics stay; otherwise they move.
    np.testing.assert_allclose(kept[1][0], evaluated[1][0], rtol=1e-5, atol=1e-5)
    assert np.abs(trained[1][0] - evaluated[1][0]).max() > 0.1
    before = jax.tree.leaves(variables["batch_stats"])
    after = jax.tree.leaves(kept[1][1]["batch_stats"])
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_what_is_refused():
    with pytest.raises(InputError, match="depth 18"):
        strided_network(18, two_pathways=False, norm=NORM)
    frames = jnp.zeros((1, 2, 32, 32, 3))
    with pytest.raises(InputError, match="2 fast frames for 2 slow; expected 8"):
        jax.eval_shape(ResNet3D(DILATED[50]).init, jax.random.key(0), frames, frames)
    kind = NonLocalConfig(weighting="softmax", pool=(1, 2, 2), group=4)
    with pytest.raises(InputError, match="6 frames in groups of 4"):
        jax.eval_shape(
            NonLocal(2, kind, NORM).init, jax.random.key(0), jnp.zeros((1, 6, 4, 4, 4)), False
        )
