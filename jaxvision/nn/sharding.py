"""Logical axis names, the mesh axes they live on, and constraints on activations.

Parameters carry their names through `flax.linen.with_logical_partitioning`; activations through
`constrain`. The table below is the only place that ties a name to the mesh.
"""

import jax
from jax.sharding import PartitionSpec

MESH_AXES = ("data", "fsdp", "tensor")

# None: never split. Names that are absent are never split either.
AXIS_TABLE: dict[str, tuple[str, ...] | None] = {
    "batch": ("data", "fsdp"),
    "rows": ("data", "fsdp"),  # of a memory
    "embed": ("fsdp",),
    "mlp": ("tensor",),
    "heads": ("tensor",),
    "vocab": ("tensor",),
    "layers": None,
}


def mesh_axes(name: str | None) -> tuple[str, ...]:
    """Mesh axes that the logical axis `name` is split over."""
    return (AXIS_TABLE.get(name) or ()) if name else ()


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Ask the compiler to lay activation `x` out by logical axis `names` (one per dimension).

    Only "batch", "mlp", "heads" and "vocab" bind: an activation's embedding stays whole. Outside a
    mesh, and for an axis that does not divide, this is the identity.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return x
    spec = []
    for size, name in zip(x.shape, names, strict=True):
        axes = () if name == "embed" else mesh_axes(name)
        parts = 1
        for axis in axes:
            parts *= mesh.shape[axis]
        spec.append(axes if axes and size % parts == 0 else None)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))
