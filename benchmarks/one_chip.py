"""A chip that is not here, for the compiler to aim at: shared by the benchmarks of memory."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvision.planning.compile import exhausted
from jaxvision.planning.topologies import describe, parse


def first_chip(topology: str) -> NamedSharding:
    """Everything on the first chip of a machine such as v5e:2x2; of this one for ""."""
    device = np.array(describe(parse(topology))[0] if topology else jax.devices()[0])
    mesh = Mesh(device.reshape(1, 1, 1), ("data", "fsdp", "tensor"))
    return NamedSharding(mesh, PartitionSpec())


def placed(tree: Any, sharding: NamedSharding) -> Any:
    """The shapes of a tree, lying there."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def temporaries(function: Callable, shapes: tuple, chip: NamedSharding) -> str:
    """MB, or what there was no room for.

    Arguments and results lie in row-major order, as the layers around have them: what the compiler
    would choose for a program of this operation alone is another one for each form.
    """

    def row_major(array: jax.ShapeDtypeStruct) -> Format:
        return Format(Layout(tuple(range(array.ndim))), chip)

    laid = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=row_major(array)),
        shapes,
    )
    results = jax.tree.map(row_major, jax.eval_shape(function, *shapes))
    try:
        with jax.set_mesh(chip.mesh):
            program = jax.jit(function, out_shardings=results).lower(*laid)
            found = program.compile().memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        needed, there = exhausted(str(error))
        if not needed:
            raise
        return f"does not fit: {needed / 1e6:.1f} of {there / 1e6:.1f}"
    return f"{found.temp_size_in_bytes / 1e6:.1f}"
