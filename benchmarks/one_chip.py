"""A chip that is not here, for the compiler to aim at: shared by the benchmarks of memory."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvision.planning.topologies import describe, parse


def first_chip(topology: str) -> NamedSharding:
    """Everything on the first chip of a machine such as v5e:2x2."""
    device = np.array(describe(parse(topology))[0])
    mesh = Mesh(device.reshape(1, 1, 1), ("data", "fsdp", "tensor"))
    return NamedSharding(mesh, PartitionSpec())


def placed(tree: Any, sharding: NamedSharding) -> Any:
    """The shapes of a tree, lying there."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
