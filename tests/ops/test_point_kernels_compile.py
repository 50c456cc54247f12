"""Kernels on points and correlations under the compilers of chips that are not here."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cuda_lowering import triton_kernels
from jaxvision.ops.correlation_lookup import argument_specs as lookup_specs
from jaxvision.ops.correlation_lookup import correlation_lookup, correlation_pyramid
from jaxvision.ops.furthest_point_sampling import argument_specs as sampling_specs
from jaxvision.ops.furthest_point_sampling import furthest_point_sampling
from jaxvision.ops.k_nearest_neighbours import argument_specs as search_specs
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.ops.point_convolution import argument_specs as convolution_specs
from jaxvision.ops.point_convolution import depthwise_point_convolution
from jaxvision.ops.point_correlation import argument_specs as correlation_specs
from jaxvision.ops.point_correlation import point_correlation
from tpu_topology import TARGET_DTYPES, tpu_mesh

COLLECTIVE = re.compile(r"all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute")
SEARCH = search_specs.SPECS["camliraft_lookup"]
PIXELS = search_specs.SPECS["camlipwc_finest_pixels"]
DENSE = search_specs.SPECS["kitti_dense"]
SAMPLING = sampling_specs.SPECS["camliflow"]
# Two of its four levels: the third and fourth are the same programs on smaller maps.
LOOKUP = lookup_specs.SPECS["camliraft_things"]._replace(levels=2)

CORRELATION = correlation_specs.SPECS["camliraft_2048"]


def lookup_both_ways(first, second, where):
    def windows(first, second):
        pyramid = correlation_pyramid(first, second, LOOKUP.levels)
        return correlation_lookup(pyramid, where, LOOKUP.radius)

    value, pull = jax.vjp(windows, first, second)
    return value, pull(value)


def correlation_both_ways(*arrays):
    value, pull = jax.vjp(lambda *arrays: point_correlation(*arrays, CORRELATION.k), *arrays)
    return value, pull(value)


# (function, shapes, kernels): of published sizes.
STEPS = {
    "search": (lambda p, q: k_nearest_neighbours(p, q, SEARCH.k), SEARCH.shapes(1), 1),
    "pixels": (lambda p, q: k_nearest_neighbours(p, q, PIXELS.k), PIXELS.shapes(1), 1),
    "dense": (lambda p, q: k_nearest_neighbours(p, q, DENSE.k), DENSE.shapes(1), 1),
    "sampling": (
        lambda p: furthest_point_sampling(p, SAMPLING.samples),
        (SAMPLING.shape(1),),
        1,
    ),
    "lookup": (
        lookup_both_ways,
        (LOOKUP.shape(1), LOOKUP.shape(1), (1, *LOOKUP.size, 2)),
        3 * LOOKUP.levels,
    ),
    "point lookup": (correlation_both_ways, CORRELATION.shapes(1), 4),
}
# What a program may take beside its arguments and results: padded and transposed clouds and
# indices; a lookup's windows, and their gradients, of all levels. A point lookup's pairs are 17 MB.
ROOM = {
    "search": 2e6,
    "pixels": 4e6,
    "dense": 300e6,
    "sampling": 1e6,
    "lookup": 80e6,
    "point lookup": 3e6,
}


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("name", STEPS)
def test_compiled_for_a_tpu_without_room_for_all_pairs(name):
    """On two chips, a sample on each; `benchmarks/points_and_flow.py --tpu` aims at others."""
    function, shapes, _ = STEPS[name]
    mesh = tpu_mesh("v5e", (2, 1, 1))
    with jax.set_mesh(mesh):
        batch = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
        arguments = (
            jax.ShapeDtypeStruct((2, *shape[1:]), jnp.float32, sharding=batch) for shape in shapes
        )
        compiled = jax.jit(function, out_shardings=batch).lower(*arguments).compile()
    assert "tpu_custom_call" in compiled.as_text(), "no kernel"
    assert not COLLECTIVE.findall(compiled.as_text())
    room = compiled.memory_analysis().temp_size_in_bytes
    assert room <= ROOM[name], f"{room / 1e6:.1f} MB of temporaries"


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("target", TARGET_DTYPES)
def test_point_correlations_compiled_for_every_tpu(target):
    """Eight samples of the smallest and of a larger second cloud than is published."""
    mesh, dtype = tpu_mesh(target), TARGET_DTYPES[target]
    with jax.set_mesh(mesh):
        everywhere = NamedSharding(mesh, PartitionSpec())
        for others in (256, 4096):
            shapes = CORRELATION._replace(others=others).shapes(8)
            arguments = (
                jax.ShapeDtypeStruct(shape, kind, sharding=everywhere)
                for shape, kind in zip(
                    shapes, (dtype, dtype, jnp.float32, jnp.float32), strict=True
                )
            )
            compiled = jax.jit(correlation_both_ways).lower(*arguments).compile()
            assert compiled.as_text().count('custom_call_target="tpu_custom_call"') == 3
            # The features of all neighbours are 134 MB in float32, as are the larger one's pairs
            # in bfloat16. Gradients are made in float32.
            room = compiled.memory_analysis().temp_size_in_bytes
            assert room <= 40e6, f"{room / 1e6:.1f} MB of temporaries"


@pytest.mark.parametrize("name", STEPS)
def test_lowered_for_cuda(name):
    function, shapes, kernels = STEPS[name]
    arguments = (jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)
    assert triton_kernels(function, *arguments) == kernels


def convolution_both_ways(features, weights, neighbours):
    value, pull = jax.vjp(
        lambda f, w: depthwise_point_convolution(f, w, neighbours), features, weights
    )
    return value, pull(value)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_depthwise_convolution_lowered_for_cuda(dtype):
    features, weights, neighbours = convolution_specs.SPECS["camliraft_gru"].shapes(1)
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape in (features, weights)]
    arguments.append(jax.ShapeDtypeStruct(neighbours, jnp.int32))
    assert triton_kernels(convolution_both_ways, *arguments) == 3
