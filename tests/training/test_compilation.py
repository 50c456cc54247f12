import jax
import jax.numpy as jnp

from jaxvision.training.compilation import as_flags, compiler_options
from jaxvision.training.config import base_config


def test_quick_compilation_is_asked_for_and_the_compiler_knows_its_options():
    config = base_config()
    assert compiler_options(config) is None
    config.quick_compilation = True
    compiled = jax.jit(lambda x: x + 1).lower(1.0).compile(compiler_options(config))
    assert compiled(jnp.float32(1)) == 2


def test_options_as_flags():
    flags = as_flags({"xla_backend_optimization_level": 0, "xla_cpu_quick": False})
    assert flags == "--xla_backend_optimization_level=0 --xla_cpu_quick=false"
