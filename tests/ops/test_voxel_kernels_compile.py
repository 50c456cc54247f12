"""Kernels on voxels under the compilers of chips that are not here, forward and backward."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax.sharding import NamedSharding, PartitionSpec

from cuda_lowering import triton_kernels
from jaxvision.methods.link.large_kernel_block import LargeKernelBlock
from jaxvision.methods.link.levels import LevelCapacities
from jaxvision.methods.link.segmentation.pyramid import build_pyramid
from jaxvision.ops import sparse_voxels as sv
from jaxvision.ops import voxel_aggregation as va
from jaxvision.ops.sparse_voxels import argument_specs as convolution_specs
from jaxvision.ops.sparse_voxels import triton as triton_convolution
from jaxvision.ops.voxel_aggregation import argument_specs as aggregation_specs
from jaxvision.ops.voxel_aggregation import triton as triton_aggregation
from tpu_topology import TARGET_DTYPES, TARGETS, tpu_mesh

COLLECTIVE = re.compile(r"all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute")
SHARDS, CAPACITY = 2, 1000
NETWORK = aggregation_specs.SPECS["linkunet_cos_x_2x3"]


def sites_and_blocks(spec=NETWORK):
    sites, _, _ = sv.unique_sites(
        jnp.zeros((SHARDS, CAPACITY, 4), jnp.int32), jnp.ones((SHARDS, CAPACITY), bool), CAPACITY
    )
    return sites, va.build_block_map(sites, spec.edge, spec.neighbours_per_axis)


def aggregation(dtype):
    """A function of features, weights and maps, and the shapes of what it takes."""
    name = "linkunet_cos_x_2x3" if dtype == jnp.float32 else "linkunet_cos_3x7"
    spec = aggregation_specs.SPECS[name]

    def run(features, projection, sites, blocks):
        return va.aggregate(features, projection, sites, blocks, spec.form)

    features = jax.ShapeDtypeStruct((SHARDS, CAPACITY, spec.channels), dtype)
    projection = jax.ShapeDtypeStruct((spec.channels, 3), jnp.float32)
    return run, features, projection, *jax.eval_shape(lambda: sites_and_blocks(spec))


def convolution(dtype):
    spec = convolution_specs.SPECS["centerpoint_last_stage"]
    features = jax.ShapeDtypeStruct((SHARDS, CAPACITY, spec.inputs), dtype)
    weights = jax.ShapeDtypeStruct(spec.weights, dtype)
    neighbours = jax.eval_shape(lambda: sv.submanifold_map(sites_and_blocks()[0], spec.size))
    return sv.sparse_convolution, features, weights, neighbours


OPERATIONS = {"aggregation": aggregation, "convolution": convolution}


def lowered(name, dtype, mesh, by_weights):
    """Forward and gradients on a mesh; the weights on every device, all else split by shards."""
    run, features, weights, *maps = OPERATIONS[name](dtype)
    batch = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def on(sharding, tree):
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    def step(features, weights, *maps):
        if by_weights:
            value, pull = jax.vjp(lambda f, w: run(f, w, *maps), features, weights)
        else:
            value, pull = jax.vjp(lambda f: run(f, weights, *maps), features)
        return value, *pull(value)

    return jax.jit(step).lower(on(batch, features), on(everywhere, weights), *on(batch, maps))


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_compiled_for_tpus(name, target):
    mesh = tpu_mesh(target, (2, 1, 2))
    with jax.set_mesh(mesh):
        program = lowered(name, TARGET_DTYPES[target], mesh, by_weights=True)
        assert "tpu_custom_call" in program.as_text()
        assert program.compile().memory_analysis() is not None


@pytest.mark.xdist_group("tpu_compiler")
def test_a_block_of_the_network_takes_the_kernels():
    """LinK's block chooses by itself: aggregation (three kernels) and convolution."""
    block = LargeKernelBlock("cos")
    mesh = tpu_mesh("v5e", (2, 1, 2))

    def maps_of(levels):
        return levels[1].sites, levels[1].neighbours, levels[1].blocks

    def apply(variables, x, sites):
        return block.apply(variables, x, *maps_of(build_pyramid(sites, LevelCapacities(edge=3))))

    with jax.set_mesh(mesh):
        sites = jax.eval_shape(lambda: sites_and_blocks()[0])
        x = jax.ShapeDtypeStruct((SHARDS, CAPACITY, NETWORK.channels), jnp.float32)
        levels = jax.eval_shape(lambda s: build_pyramid(s, LevelCapacities(edge=3)), sites)
        variables = jax.eval_shape(
            lambda x, maps: block.init(jax.random.key(0), x, *maps), x, maps_of(levels)
        )
        text = jax.jit(apply).lower(nn.unbox(variables), x, sites).as_text()
    assert text.count("tpu_custom_call") == 4


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_collective_but_for_the_weights(name):
    mesh = tpu_mesh("v5e", (2, 1, 2))
    with jax.set_mesh(mesh):
        texts = [
            lowered(name, jnp.float32, mesh, by_weights).compile().as_text()
            for by_weights in (False, True)
        ]
    assert not COLLECTIVE.findall(texts[0])
    kinds = set(COLLECTIVE.findall(texts[1]))
    assert kinds == {"all-reduce"}
    assert len(re.findall(r"all-reduce(?:-start)?\(", texts[1])) == 1


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("channels", [40, 64])
def test_lowered_for_cuda(dtype, channels):
    sites, blocks = jax.eval_shape(sites_and_blocks)
    features = jax.ShapeDtypeStruct((SHARDS, CAPACITY, channels), dtype)

    def aggregate(features, projection, sites, blocks, form):
        coords = sites.coords[..., 1:]
        value, pull = jax.vjp(
            lambda f, w: triton_aggregation.means(f, w, coords, blocks, form), features, projection
        )
        return value, *pull(value)

    projection = jax.ShapeDtypeStruct((channels, 3), jnp.float32)
    for form in va.FORMS:
        step = functools.partial(aggregate, form=form)
        assert triton_kernels(step, features, projection, sites, blocks) == 4  # two each way

    def convolve(features, weights, neighbours):
        value, pull = jax.vjp(
            lambda f, w: triton_convolution.convolve(f, w, neighbours), features, weights
        )
        return value, *pull(value)

    weights = jax.ShapeDtypeStruct((27, channels, 2 * channels), dtype)
    neighbours = jax.eval_shape(lambda s: sv.submanifold_map(s, 3), sites)
    # Forward, by the features, by the weights.
    assert triton_kernels(convolve, features, weights, neighbours) == 3
