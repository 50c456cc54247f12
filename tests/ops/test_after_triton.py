"""The day Pallas' backend for Triton is gone: every operation answers by its next best."""

import json
import logging
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import use_abstract_mesh

from cuda_lowering import MESH, NODE, triton_kernels
from jaxvision.errors import InputError
from jaxvision.ops import dispatch, triton_backend
from jaxvision.ops.attention import attention
from jaxvision.ops.furthest_point_sampling import furthest_point_sampling
from jaxvision.ops.point_convolution import argument_specs as convolution_specs
from ops import test_kernels_compile as pictures
from ops import test_point_kernels_compile as points
from ops import test_voxel_kernels_compile as voxels

TESTS = Path(__file__).parent.parent
CLOUD = jax.ShapeDtypeStruct((1, 64, 3), jnp.float32)
# What runs in a JAX without the backend, and tells which operations still call kernels.
WITHOUT = """
import json, sys
sys.modules["jax.experimental.pallas.triton"] = None
from ops import test_after_triton
print(json.dumps(test_after_triton.operations_with_kernels()))
"""


def operations_with_kernels() -> dict[str, bool]:
    """Of all operations that have kernels for a GPU: whether they call them."""
    found = {}

    def trace(name, function, arguments):
        with use_abstract_mesh(MESH):
            found[name] = "pallas_call" in str(jax.make_jaxpr(function)(*arguments))

    for name in ("sampling", "mixing", "attention"):
        make, spec = pictures.STEPS[name]
        step, arguments = make(spec, jnp.float32, 1, None)
        trace(name, step, arguments)
    for name, make in voxels.OPERATIONS.items():
        run, *arguments = make(jnp.float32)
        trace(name, run, arguments)
    for name in ("search", "sampling", "lookup", "point lookup"):
        step, shapes, _ = points.STEPS[name]
        trace(f"points {name}", step, [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes])
    *arrays, neighbours = convolution_specs.SPECS["camliraft_gru"].shapes(1)
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in arrays]
    arguments.append(jax.ShapeDtypeStruct(neighbours, jnp.int32))
    trace("depthwise", points.convolution_both_ways, arguments)
    return found


def test_absent():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    command = [sys.executable, "-c", WITHOUT]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert not any(found.values()), found
    told = [line for line in ran.stderr.splitlines() if "no Triton kernels" in line]
    assert len(told) == len(found), ran.stderr
    assert all("ModuleNotFoundError" in line for line in told)


@pytest.fixture
def refused(monkeypatch):
    def params(**_):
        raise ValueError("The Triton backend has been removed.\nMore of it.")

    backend = types.SimpleNamespace(**vars(triton_backend.plgpu) | {"CompilerParams": params})
    monkeypatch.setattr(triton_backend, "plgpu", backend)
    for function in (triton_backend.refusal, dispatch._tell):
        function.cache_clear()
    yield
    for function in (triton_backend.refusal, dispatch._tell):
        function.cache_clear()


def test_refused(refused, caplog):
    with caplog.at_level(logging.WARNING, logger="jaxvision"):
        for samples in (3, 5):
            assert not triton_kernels(lambda p, s=samples: furthest_point_sampling(p, s), CLOUD)
    (line,) = caplog.messages
    assert "furthest_point_sampling" in line
    assert line.endswith(
        "(ValueError: The Triton backend has been removed.); 'reference' takes their place"
    )


def test_asked_for_by_name_where_it_is_refused(refused):
    def named(points):
        return furthest_point_sampling(points, 3, implementation="triton")

    with pytest.raises(InputError, match=r"'triton' does not run here with JAX .*has been removed"):
        triton_kernels(named, CLOUD)


def test_attention_of_narrow_heads_goes_to_cudnn(refused, monkeypatch):
    asked = []
    monkeypatch.setitem(
        sys.modules["jaxvision.ops.attention"].IMPLEMENTATIONS, "cudnn", lambda *a: asked.append(a)
    )
    narrow = jnp.zeros((1, 8, 2, 16), jnp.bfloat16)
    with use_abstract_mesh(MESH):
        attention(narrow, narrow, narrow)
    assert asked


def test_nothing_is_refused_by_this_jax():
    assert triton_backend.refusal("NVIDIA H200") is None


def test_a_step_over_several_gpus_has_kernels():
    """JAX lets no mesh of one GPU take the place of a larger one that is in force."""
    triton_backend.refusal.cache_clear()
    clouds = jax.ShapeDtypeStruct((8, 64, 3), jnp.float32)
    try:
        assert triton_kernels(lambda p: furthest_point_sampling(p, 3), clouds, mesh=NODE)
    finally:
        triton_backend.refusal.cache_clear()
