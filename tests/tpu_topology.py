"""TPUs that are not here, for the TPU compiler."""

import math
import os

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

# The smallest topology of each generation.
TARGETS = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2", "tpu7x": "tpu7x:2x2x1"}


def tpu_mesh(target: str, shape: tuple[int, int, int] = (1, 1, 1)) -> Mesh:
    """A data x fsdp x tensor mesh of the first devices of a generation."""
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    # Two test processes otherwise meet at a lock file.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    devices = topologies.get_topology_desc(TARGETS[target], platform="tpu").devices
    chosen = np.array(devices[: math.prod(shape)]).reshape(shape)
    return jax.sharding.Mesh(chosen, ("data", "fsdp", "tensor"))
