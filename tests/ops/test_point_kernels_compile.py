"""Kernels on points and correlations under the compilers of chips that are not here."""

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
from tpu_topology import TARGETS, tpu_mesh

SEARCH = search_specs.SPECS["camliraft_lookup"]
PIXELS = search_specs.SPECS["camlipwc_finest_pixels"]
SAMPLING = sampling_specs.SPECS["camliflow"]
LOOKUP = lookup_specs.SPECS["camliraft_things"]


def lookup_both_ways(first, second, where):
    def windows(first, second):
        pyramid = correlation_pyramid(first, second, LOOKUP.levels)
        return correlation_lookup(pyramid, where, LOOKUP.radius)

    value, pull = jax.vjp(windows, first, second)
    return value, pull(value)


# (function, shapes, kernels): of published sizes.
STEPS = {
    "search": (lambda p, q: k_nearest_neighbours(p, q, SEARCH.k), SEARCH.shapes(1), 1),
    "pixels": (lambda p, q: k_nearest_neighbours(p, q, PIXELS.k), PIXELS.shapes(1), 1),
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
}
# What a program may take beside its arguments and results: padded and transposed clouds and
# indices; a lookup's windows, and their gradients, of all levels.
ROOM = {"search": 2e6, "pixels": 4e6, "sampling": 1e6, "lookup": 80e6}


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("target", TARGETS)
def test_compiled_for_tpus_without_room_for_all_pairs(target):
    mesh = tpu_mesh(target)
    with jax.set_mesh(mesh):
        sharding = NamedSharding(mesh, PartitionSpec())
        for name, (function, shapes, _) in STEPS.items():
            arguments = (jax.ShapeDtypeStruct(s, jnp.float32, sharding=sharding) for s in shapes)
            compiled = jax.jit(function).lower(*arguments).compile()
            assert "tpu_custom_call" in compiled.as_text(), f"{name}: no kernel for {target}"
            room = compiled.memory_analysis().temp_size_in_bytes
            assert room <= ROOM[name], f"{name} on {target}: {room / 1e6:.1f} MB of temporaries"


@pytest.mark.parametrize("name", STEPS)
def test_lowered_for_cuda(name):
    function, shapes, kernels = STEPS[name]
    arguments = (jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)
    assert triton_kernels(function, *arguments) == kernels
