"""Every kernel fully compiled for an H200, where the CUDA compiler is; no GPU is needed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvision.ops import sparse_voxels as sv
from jaxvision.ops import voxel_aggregation as va
from jaxvision.ops.attention import argument_specs as attention_specs
from jaxvision.ops.sparse_voxels import argument_specs as convolution_specs
from jaxvision.ops.voxel_aggregation import argument_specs as aggregation_specs
from jaxvision.planning.topologies import describe, parse
from ops import test_kernels_compile as pictures
from ops import test_point_kernels_compile as points
from ops import test_voxel_kernels_compile as voxels

STEPS = pictures.STEPS | {
    "long attention": (pictures.attention_step, attention_specs.LONG["vit_g"]),
}


@pytest.fixture(scope="module")
def h200():
    pytest.importorskip("jax_cuda13_plugin", reason="the CUDA wheels are several GB")
    device = describe(parse("h200:1"))[0]
    return Mesh(np.array(device).reshape(1, 1, 1), ("data", "fsdp", "tensor"))


def test_kernels_of_pictures_and_clips(h200):
    with jax.set_mesh(h200):
        for name, (make, spec) in STEPS.items():
            step, arguments = make(spec, jnp.bfloat16, 1, NamedSharding(h200, PartitionSpec()))
            text = jax.jit(step).lower(*arguments).compile().as_text()
            assert "triton" in text or "cudnn" in text, f"{name}: no kernel"


def test_kernels_of_voxels(h200):
    with jax.set_mesh(h200):
        for name in voxels.OPERATIONS:
            program = voxels.lowered(name, jnp.bfloat16, h200, by_weights=True)
            assert "triton" in program.compile().as_text(), f"{name}: no kernel"


def test_kernels_of_points(h200):
    with jax.set_mesh(h200):
        everywhere = NamedSharding(h200, PartitionSpec())
        for name, (step, shapes, kernels) in points.STEPS.items():
            arguments = (
                jax.ShapeDtypeStruct(shape, jnp.float32, sharding=everywhere) for shape in shapes
            )
            text = jax.jit(step).lower(*arguments).compile().as_text()
            assert text.count("__gpu$xla.gpu.triton") == kernels, name


def test_convolution_without_triton(h200):
    spec = convolution_specs.SPECS["linkunet"]

    def both_ways(features, weights, neighbours):
        def convolve(features, weights):
            return sv.sparse_convolution(features, weights, neighbours, "mosaic_gpu")

        value, pull = jax.vjp(convolve, features, weights)
        return value, *pull(value)

    sites = jax.eval_shape(lambda: voxels.sites_and_blocks()[0])
    maps = jax.eval_shape(lambda s: sv.submanifold_map(s, spec.size), sites)
    arrays = [(voxels.SHARDS, voxels.CAPACITY, spec.inputs), spec.weights]
    arguments = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in arrays]
    assert mosaic_kernels(both_ways, h200, *arguments, maps) == 3


def test_aggregation_without_triton(h200):
    for spec in aggregation_specs.SPECS.values():

        def both_ways(features, projection, sites, blocks, form=spec.form):
            def aggregate(features, projection):
                return va.aggregate(features, projection, sites, blocks, form, "mosaic_gpu")

            value, pull = jax.vjp(aggregate, features, projection)
            return value, *pull(value)

        sites = jax.eval_shape(lambda: voxels.sites_and_blocks()[0])
        reach = (spec.edge, spec.neighbours_per_axis)
        blocks = jax.eval_shape(lambda s, reach=reach: va.build_block_map(s, *reach), sites)
        shape = (voxels.SHARDS, voxels.CAPACITY, spec.channels)
        features = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
        projection = jax.ShapeDtypeStruct((spec.channels, 3), jnp.float32)
        assert mosaic_kernels(both_ways, h200, features, projection, sites, blocks) == 6


def mosaic_kernels(function, h200, *arguments):
    """How many of them the function's compiled program calls."""
    with jax.set_mesh(h200):
        everywhere = NamedSharding(h200, PartitionSpec())
        arguments = jax.tree.map(lambda a: a.update(sharding=everywhere), arguments)
        text = jax.jit(function).lower(*arguments).compile().as_text()
    return text.count('custom_call_target="mosaic_gpu')
