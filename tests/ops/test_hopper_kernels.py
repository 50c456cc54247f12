"""Kernels for Hopper without Triton: interpreted beside their references, lowered for an H100."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, use_abstract_mesh

from cuda_lowering import MESH, lowered_for_cuda
from jaxvision.errors import InputError
from jaxvision.ops import hopper
from jaxvision.ops import sparse_voxels as sv
from jaxvision.ops import voxel_aggregation as va
from jaxvision.ops.sparse_voxels import mosaic_gpu, reference
from jaxvision.ops.sparse_voxels.argument_specs import SPECS
from jaxvision.ops.voxel_aggregation import argument_specs as aggregation_specs
from jaxvision.ops.voxel_aggregation import mosaic_gpu as aggregation
from ops.voxel_scenes import padded, wide_scene

REFUSAL = hopper.refusal("H100")
of_this_jax = pytest.mark.skipif(REFUSAL is not None, reason=str(REFUSAL))
# Forty voxels apart from each other beside a wall of two hundred: a window of two pieces.
SCENE = wide_scene()[:40] + wide_scene()[128:328]
ROWS = 250
# The same, each voxel in a block of its own, but the first two.
IN_BLOCKS = [(0, 0, 0, 1)] + [(scan, 2 * x, 2 * y, 2 * z) for scan, x, y, z in SCENE]


@functools.cache
def interpreted():
    params = pytest.importorskip("jax._src.pallas.mosaic_gpu.interpret.params")
    return params.InterpretGPUParams()


@pytest.fixture(scope="module")
def neighbours():
    sites, _, _ = sv.unique_sites(*padded(SCENE, ROWS), ROWS)
    return jax.tree.map(np.asarray, sv.submanifold_map(sites, (2, 1, 2)))


@pytest.mark.xdist_group("interpreted_kernels")
def test_convolution_equals_the_reference(neighbours):
    """More than one piece of a window, two groups of channels, odd channels."""
    rng = np.random.default_rng(0)
    inputs, outputs = 65, 5
    features = jnp.asarray(rng.standard_normal((1, ROWS, inputs)), jnp.bfloat16)
    weights = jnp.asarray(rng.standard_normal((4, inputs, outputs)), jnp.bfloat16)
    cotangent = jnp.asarray(rng.standard_normal((1, ROWS, outputs)), jnp.bfloat16)

    def both_ways(convolve, dtype):
        arrays = [a.astype(dtype) for a in (features, weights, cotangent)]
        value, pull = jax.vjp(lambda f, w: convolve(f, w, neighbours), *arrays[:2])
        return value, *pull(arrays[2])

    kernel = functools.partial(mosaic_gpu.convolve, interpret=interpreted())
    exact = both_ways(reference.convolve, jnp.float32)
    for ours, theirs in zip(both_ways(kernel, jnp.bfloat16), exact, strict=True):
        assert ours.dtype == jnp.bfloat16
        # Sums of another order, rounded once.
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs, rtol=2**-8, atol=1e-5)


@of_this_jax
@pytest.mark.parametrize("name", ["linkunet_down", "centerpoint_last_stage"])
def test_convolution_is_lowered_for_hopper(name):
    spec = SPECS[name]
    sites = jax.eval_shape(lambda: sv.unique_sites(*padded(SCENE, ROWS), ROWS)[0])
    neighbours = jax.eval_shape(lambda s: sv.submanifold_map(s, spec.size), sites)
    features = jax.ShapeDtypeStruct((1, ROWS, spec.inputs), jnp.bfloat16)
    weights = jax.ShapeDtypeStruct(spec.weights, jnp.bfloat16)

    def both_ways(features, weights, neighbours):
        def convolve(features, weights):
            return sv.sparse_convolution(features, weights, neighbours, "mosaic_gpu")

        value, pull = jax.vjp(convolve, features, weights)
        return value, *pull(value)

    text = lowered_for_cuda(both_ways, features, weights, neighbours)
    assert text.count("custom_call @mosaic_gpu") == 3


@pytest.mark.xdist_group("interpreted_kernels")
@pytest.mark.parametrize(
    ("scans", "rows", "edge", "channels", "form", "dtype"),
    [
        ([IN_BLOCKS], ROWS, 2, 5, "cos_x", "float32"),
        ([[], SCENE[30:90]], 64, 3, 33, "cos_sin", "bfloat16"),
    ],
    ids=["two pieces of a window, blocks without room", "an empty scan, two groups of channels"],
)
def test_aggregation_equals_the_reference(scans, rows, edge, channels, form, dtype):
    """float32 goes through the matrix units as three bfloat16."""
    both = zip(*(padded(scan, rows) for scan in scans), strict=True)
    sites, _, _ = sv.unique_sites(*(np.concatenate(arrays) for arrays in both), rows)
    blocks = va.build_block_map(sites, edge, 2, rows - 20)
    assert (int(blocks.blocks.overflow[0]) > 0) == (edge == 2)
    rng = np.random.default_rng(0)
    features, cotangent = (
        jnp.asarray(rng.standard_normal((len(scans), rows, channels)), dtype) for _ in range(2)
    )
    projection = jnp.asarray(rng.standard_normal((channels, 3)), jnp.float32)

    def both_ways(means, dtype):
        def aggregate(features, projection):
            return va.with_means(means)(features, projection, sites, blocks, form)

        value, pull = jax.vjp(aggregate, features.astype(dtype), projection)
        return value, *pull(cotangent.astype(dtype))

    kernel = functools.partial(aggregation.means, interpret=interpreted())
    exact = both_ways(va.reference.means, jnp.float32)
    ours = both_ways(kernel, dtype)
    assert [each.dtype for each in ours] == [dtype, dtype, jnp.float32]
    tolerance = 1e-6 if dtype == "float32" else 2**-7  # of the largest
    for mine, theirs in zip(ours, exact, strict=True):
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(mine.astype(jnp.float32), theirs, rtol=0, atol=tolerance * scale)


@of_this_jax
@pytest.mark.parametrize("name", ["linkunet_cos_x_2x3", "centerpoint_elkv3"])
def test_aggregation_is_lowered_for_hopper(name):
    spec = aggregation_specs.SPECS[name]
    sites = jax.eval_shape(lambda: sv.unique_sites(*padded(SCENE, ROWS), ROWS)[0])
    build = functools.partial(
        va.build_block_map, edge=spec.edge, neighbours_per_axis=spec.neighbours_per_axis
    )
    blocks = jax.eval_shape(build, sites)
    features = jax.ShapeDtypeStruct((1, ROWS, spec.channels), jnp.bfloat16)
    projection = jax.ShapeDtypeStruct((spec.channels, 3), jnp.float32)

    def both_ways(features, projection, sites, blocks):
        def aggregate(features, projection):
            return va.aggregate(features, projection, sites, blocks, spec.form, "mosaic_gpu")

        value, pull = jax.vjp(aggregate, features, projection)
        return value, *pull(value)

    text = lowered_for_cuda(both_ways, features, projection, sites, blocks)
    assert text.count("custom_call @mosaic_gpu") == 6


def test_split_is_exact():
    x = jnp.asarray([0.0, -1.0, 1 / 3, -7e-20, 3.1e30, np.float32(2**24 - 1)], jnp.float32)
    for pieces, bits in ((1, 8), (2, 16), (3, 24)):
        found = jax.jit(hopper.split, static_argnums=1)(x, pieces)
        assert [each.dtype for each in found] == [jnp.bfloat16] * pieces
        total = np.sum([np.asarray(each, np.float64) for each in found], axis=0)
        np.testing.assert_allclose(total, x, rtol=0 if bits == 24 else 2.0**-bits, atol=0)


@of_this_jax
def test_what_it_refuses(neighbours):
    def convolve(channels, dtype=jnp.bfloat16, device=None):
        features = jax.ShapeDtypeStruct((1, ROWS, channels), dtype)
        weights = jax.ShapeDtypeStruct((4, channels, 16), dtype)
        mesh = MESH
        if device:
            chip = AbstractDevice(device, None, "gpu")
            mesh = AbstractMesh((1,), ("data",), (AxisType.Auto,), abstract_device=chip)
        with use_abstract_mesh(mesh):
            function = functools.partial(sv.sparse_convolution, implementation="mosaic_gpu")
            jax.eval_shape(function, features, weights, neighbours)

    with pytest.raises(InputError, match="would round float32"):
        convolve(16, jnp.float32)
    with pytest.raises(InputError, match="no room for 512 channels and 2 taps a column"):
        convolve(512)
    with pytest.raises(InputError, match="'NVIDIA A100', not one of H100, H200, GH200"):
        convolve(16, device="NVIDIA A100")


@of_this_jax
def test_a_jax_without_the_backend(monkeypatch):
    def removed(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(hopper, "backend", lambda: removed("jax.experimental.pallas.mosaic_gpu"))
    assert hopper.refusal("NVIDIA H200").startswith("ModuleNotFoundError: No module named 'jax.exp")
