"""Kernels under the compilers of chips that are not here: TPUs in full, NVIDIA GPUs lowered."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.layout import Format, Layout
from jax.sharding import NamedSharding, PartitionSpec

from cuda_lowering import triton_kernels
from jaxvision.ops.adaptive_mixing import adaptive_mixing
from jaxvision.ops.adaptive_mixing import argument_specs as mixing_specs
from jaxvision.ops.adaptive_mixing import triton as triton_mixing
from jaxvision.ops.attention import argument_specs as attention_specs
from jaxvision.ops.attention import attention
from jaxvision.ops.attention import triton as triton_attention
from jaxvision.ops.sparse_sampling import argument_specs as sampling_specs
from jaxvision.ops.sparse_sampling import mosaic_tpu, reference, sparse_sampling
from jaxvision.ops.sparse_sampling import triton as triton_sampling
from tpu_topology import TARGET_DTYPES, TARGETS, tpu_mesh

COLLECTIVE = re.compile(r"all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute")
BATCH = PartitionSpec(("data", "fsdp"))


def sampling_step(spec, dtype, batch, sharding):
    """A function and the shapes of what it takes."""

    def shape(*sizes, dtype=dtype):
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

    features = [shape(*sizes) for sizes in spec.feature_shapes(batch)]
    axes = 2 if spec.shared_frames or not spec.levels[0][0] else 3
    points = shape(batch, spec.tokens, spec.points, axes, dtype=jnp.float32)

    def step(features, points):
        def total(features, points):
            frames = "shared" if spec.shared_frames else "trilinear"
            sampled = sparse_sampling(
                features, points, groups=spec.groups, frames=frames, padding=spec.padding
            )
            return jnp.sum(jnp.square(sampled.astype(jnp.float32)), axis=range(1, sampled.ndim))

        value, pull = jax.vjp(total, features, points)
        return value, pull(jnp.ones_like(value))

    return step, (features, points)


def mixing_step(spec, dtype, batch, sharding):
    def shape(*sizes):
        return jax.ShapeDtypeStruct((batch, spec.tokens, *sizes), dtype, sharding=sharding)

    c, p, o = spec.channels, spec.points, spec.outputs

    def step(*arguments):
        mix = functools.partial(
            adaptive_mixing, activations=spec.activations, norm_epsilon=spec.norm_epsilon
        )
        value, pull = jax.vjp(mix, *arguments)
        return value, pull(value)

    return step, (shape(p, c), shape(c, c), shape(o, p))


def attention_step(spec, dtype, batch, sharding):
    shape = jax.ShapeDtypeStruct((batch, *spec), dtype, sharding=sharding)

    def step(*arguments):
        value, pull = jax.vjp(attention, *arguments)
        return value, pull(value)

    return step, (shape,) * 3


# The levels that a TPU reads in hat form: STMixer's finest is gathered.
COARSE = sampling_specs.SPECS["stmixer_slowfast"].levels[1:]
STEPS = {
    "sampling": (sampling_step, sampling_specs.SPECS["sparseformer_t"]),
    "sampling border": (sampling_step, sampling_specs.SPECS["sparseformer_btsp_base"]),
    "sampling levels": (
        sampling_step,
        sampling_specs.SPECS["stmixer_slowfast"]._replace(levels=COARSE),
    ),
    "mixing": (mixing_step, mixing_specs.SPECS["sparseformer_t"]),
    "mixing with norm": (mixing_step, mixing_specs.SPECS["stmixer_spatial"]),
    "attention": (attention_step, attention_specs.NARROW["sparseformer_t"]),
    "attention of the focus": (attention_step, attention_specs.NARROW["sparseformer_t_focus"]),
    "attention of B": (attention_step, attention_specs.NARROW["sparseformer_b"]),
}


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("target", TARGETS)
def test_compiled_for_tpus(target):
    dtype = TARGET_DTYPES[target]
    mesh = tpu_mesh(target)
    with jax.set_mesh(mesh):
        for name, (make, spec) in STEPS.items():
            step, arguments = make(spec, dtype, 1, NamedSharding(mesh, PartitionSpec()))
            text = jax.jit(step).lower(*arguments).compile().as_text()
            assert "tpu_custom_call" in text, f"{name}: no kernel for {target}"


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("target", TARGETS)
def test_large_maps_go_to_the_sparse_cores(target):
    """Or stay hats, where there are none: not for XLA's gather, and each compiles."""
    finest = sampling_specs.SPECS["stmixer_slowfast"].levels[:1]
    spec = sampling_specs.SPECS["stmixer_slowfast"]._replace(levels=finest, tokens=16)
    mesh = tpu_mesh(target)
    with jax.set_mesh(mesh):
        step, arguments = sampling_step(spec, jnp.bfloat16, 1, NamedSharding(mesh, PartitionSpec()))
        lowered = jax.jit(step).lower(*arguments)
        assert "tpu_custom_call" in lowered.as_text()
        assert ("sparsecore" in lowered.as_text(debug_info=True)) == (target != "v5e")
        lowered.compile()


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("name", attention_specs.LONG)
def test_long_attention_is_jaxs_own_kernel_on_a_tpu(name):
    mesh = tpu_mesh("v5e")
    with jax.set_mesh(mesh):
        sharding = NamedSharding(mesh, PartitionSpec())
        step, arguments = attention_step(attention_specs.LONG[name], jnp.bfloat16, 1, sharding)
        compiled = jax.jit(step).lower(*arguments).compile()
    assert "splash" in compiled.as_text()
    scores = 1568 * 1568 * attention_specs.LONG[name].heads * 4
    assert compiled.memory_analysis().temp_size_in_bytes < scores


@pytest.mark.xdist_group("tpu_compiler")
def test_cross_attention_is_jaxs_own_kernel_on_a_tpu():
    mesh = tpu_mesh("v5e")
    with jax.set_mesh(mesh):
        sharding = NamedSharding(mesh, PartitionSpec())
        query, key = (
            jax.ShapeDtypeStruct((1, tokens, 12, 64), jnp.bfloat16, sharding=sharding)
            for tokens in (1024, 2352)
        )

        def step(*arguments):
            value, pull = jax.vjp(attention, *arguments)
            return value, pull(value)

        compiled = jax.jit(step).lower(query, key, key).compile()
    assert "splash" in compiled.as_text()
    assert compiled.memory_analysis().temp_size_in_bytes < 1024 * 2352 * 12 * 4


@pytest.mark.xdist_group("tpu_compiler")
def test_heads_of_attention_stay_on_their_devices():
    mesh = tpu_mesh("v5e", (2, 1, 2))
    with jax.set_mesh(mesh):
        by_head = NamedSharding(mesh, PartitionSpec(("data", "fsdp"), None, "tensor"))
        for spec in (attention_specs.NARROW["sparseformer_t"], attention_specs.LONG["vit_b"]):
            step, arguments = attention_step(spec, jnp.bfloat16, 2, by_head)
            compiled = jax.jit(step, out_shardings=by_head).lower(*arguments).compile()
            assert "tpu_custom_call" in compiled.as_text()
            assert not COLLECTIVE.findall(compiled.as_text())


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize("name", ["sampling", "mixing"])
def test_no_collective_around_kernels_on_a_mesh(name):
    make, spec = STEPS[name]
    mesh = tpu_mesh("v5e", (2, 1, 2))
    with jax.set_mesh(mesh):
        sharding = NamedSharding(mesh, BATCH)
        step, arguments = make(spec, jnp.float32, 4, sharding)
        compiled = jax.jit(step, out_shardings=sharding).lower(*arguments).compile()
    assert "tpu_custom_call" in compiled.as_text()
    assert not COLLECTIVE.findall(compiled.as_text())


@pytest.mark.xdist_group("tpu_compiler")
def test_backward_of_sampling_needs_no_room():
    """At batch 32, 56 x 56 x 96 and 1,764 points, both forms in the same row-major layouts."""
    mesh = tpu_mesh("v5e")
    layout = Format(Layout((0, 1, 2)), NamedSharding(mesh, PartitionSpec()))

    def shape(*sizes):
        return jax.ShapeDtypeStruct(sizes, jnp.float32, sharding=layout)

    arguments = shape(32, 3136, 96), shape(32, 1764, 2), shape(32, 1764, 96)
    room = {}
    with jax.set_mesh(mesh):
        for name, sample in (("hat", mosaic_tpu.sample_rows), ("gather", reference.sample_rows)):

            def backward(features, where, cotangent, sample=sample):
                _, pull = jax.vjp(lambda f, w: sample(f, w, (56, 56)), features, where)
                return pull(cotangent)

            compiled = jax.jit(backward, out_shardings=layout).lower(*arguments).compile()
            room[name] = compiled.memory_analysis().temp_size_in_bytes
    assert room["hat"] <= 0.05 * room["gather"]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_lowered_for_cuda(dtype):
    def kernels(function, *shapes):
        return triton_kernels(function, *(jax.ShapeDtypeStruct(s, d) for s, d in shapes))

    def sample(features, where, cotangent):
        value, pull = jax.vjp(
            lambda f, w: triton_sampling.sample_rows(f, w, (56, 56)), features, where
        )
        return value, pull(cotangent)

    shapes = ((2, 3136, 96), dtype), ((2, 50, 2), jnp.float32), ((2, 50, 96), dtype)
    assert kernels(sample, *shapes) == 3  # forward, by the map, by the points
    for spec in attention_specs.NARROW.values():

        def attend(*arguments):
            value, pull = jax.vjp(triton_attention.attend, *arguments)
            return pull(value)

        assert kernels(attend, *(((2, *spec), dtype),) * 3) == 2  # forward and backward
    for spec in mixing_specs.SPECS.values():
        n, p, o, c = spec.tokens, spec.points, spec.outputs, spec.channels

        def mix(*arguments, spec=spec):
            value, pull = jax.vjp(
                lambda *a: triton_mixing.mix(*a, spec.activations, spec.norm_epsilon), *arguments
            )
            return pull(value)

        shapes = ((n, p, c), (n, c, c), (n, o, p))
        biases = ((c,), jnp.float32), ((o,), jnp.float32)
        found = kernels(mix, *((s, dtype) for s in shapes), *biases)
        assert found == 2  # forward and backward
