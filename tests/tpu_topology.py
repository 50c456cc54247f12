"""TPUs that are not here, for the TPU compiler."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxvision.planning.topologies import describe, parse

# The smallest topology of each generation.
TARGETS = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2", "tpu7x": "tpu7x:2x2x1"}
# What kernels are compiled in: each type for an older and a newer generation. v5e has no bfloat16
# arithmetic but in its matrix unit.
TARGET_DTYPES = {
    "v5e": jnp.bfloat16,
    "v5p": jnp.float32,
    "v6e": jnp.float32,
    "tpu7x": jnp.bfloat16,
}


def tpu_mesh(target: str, shape: tuple[int, int, int] = (1, 1, 1)) -> Mesh:
    """A data x fsdp x tensor mesh of the first devices of a generation."""
    devices = describe(parse(TARGETS[target]))
    chosen = np.array(devices[: math.prod(shape)]).reshape(shape)
    return jax.sharding.Mesh(chosen, ("data", "fsdp", "tensor"))
