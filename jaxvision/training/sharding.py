"""From logical axis names to shardings of every parameter, with a fallback that is reported."""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvision.errors import InputError
from jaxvision.nn.sharding import mesh_axes
from jaxvision.weights.mapping import flatten, unflatten


class Fallback(NamedTuple):
    """A leaf whose named axis did not divide, and where its mesh axes went instead."""

    path: str
    shape: tuple[int, ...]
    axis: str
    parts: int
    moved_to: int | None

    def __str__(self) -> str:
        where = "replicated" if self.moved_to is None else f"split on dimension {self.moved_to}"
        return f"{self.path} {self.shape}: {self.axis} does not divide by {self.parts}; {where}"


def partition(
    path: str, shape: tuple[int, ...], names: tuple[str | None, ...], mesh: Mesh
) -> tuple[PartitionSpec, list[Fallback]]:
    """The spec of one leaf. Mesh axes that do not divide their dimension move to the largest free
    dimension that they do divide (never "layers"), else the leaf is replicated along them."""
    spec: list[tuple[str, ...] | None] = [None] * len(shape)
    homeless: list[tuple[str, tuple[str, ...]]] = []
    used: set[str] = set()
    for dimension, name in enumerate(names):
        axes = tuple(a for a in mesh_axes(name) if mesh.shape[a] > 1 and a not in used)
        if not axes:
            continue
        used.update(axes)
        if shape[dimension] % _parts(axes, mesh) == 0:
            spec[dimension] = axes
        else:
            homeless.append((str(name), axes))
    fallbacks = []
    for name, axes in homeless:
        parts = _parts(axes, mesh)
        free = [
            d
            for d in range(len(shape))
            if spec[d] is None and names[d] != "layers" and shape[d] % parts == 0
        ]
        target = max(free, key=lambda d: shape[d], default=None)
        if target is not None:
            spec[target] = axes
        fallbacks.append(Fallback(path, shape, name, parts, target))
    return PartitionSpec(*spec), fallbacks


def _parts(axes: tuple[str, ...], mesh: Mesh) -> int:
    return math.prod(mesh.shape[a] for a in axes)


def variable_shardings(boxed: Any, mesh: Mesh) -> tuple[dict, list[Fallback]]:
    """Shardings for a (boxed, abstract) tree of variables, and every fallback taken."""
    shardings, fallbacks = {}, []
    for path, leaf in flatten(boxed).items():
        if isinstance(leaf, nn.Partitioned):
            names, value = leaf.names, leaf.value
        else:
            names, value = (None,) * len(leaf.shape), leaf
        spec, moved = partition(path, tuple(value.shape), tuple(names), mesh)
        shardings[path] = NamedSharding(mesh, spec)
        fallbacks += moved
    return unflatten(shardings), fallbacks


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Leading axis over the batch's mesh axes."""
    return NamedSharding(mesh, PartitionSpec(mesh_axes("batch")))


def batch_parts(mesh: Mesh) -> int:
    """How many parts a batch is split into."""
    return _parts(mesh_axes("batch"), mesh)


def check_batch(
    specs: Mapping[str, Mapping[str, jax.ShapeDtypeStruct]], mesh: Mesh, micro_batches: int = 1
) -> None:
    """InputError unless every field of every bucket has one leading size that the mesh and the
    number of micro-batches divide."""
    parts = batch_parts(mesh)
    for bucket, fields in specs.items():
        sizes = {name: spec.shape[0] for name, spec in fields.items()}
        if len(set(sizes.values())) != 1:
            raise InputError(f"bucket {bucket!r}: leading axes differ: {sizes}")
        size = next(iter(sizes.values()))
        if size % parts:
            raise InputError(
                f"a batch of {size} (bucket {bucket!r}) does not divide over data x fsdp = {parts} "
                "devices; change train.batch_size or mesh"
            )
        if size % micro_batches:
            raise InputError(
                f"train.accumulate={micro_batches} does not divide a batch of {size} (bucket "
                f"{bucket!r})"
            )


def rows_of_host(mesh: Mesh, size: int) -> list[tuple[int, int]]:
    """(start, stop) of each part of a batch of `size` rows that this process's devices hold."""
    where = batch_sharding(mesh).addressable_devices_indices_map((size,)).values()
    return sorted({s[0].indices(size)[:2] for s in where if s is not None})


def put(value: Any, sharding: NamedSharding) -> jax.Array:
    """One array that every host holds whole -> the mesh."""
    array = np.asarray(value)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


@functools.lru_cache(maxsize=64)
def _placement(mesh: Mesh, size: int) -> tuple[NamedSharding, dict[int, int]]:
    """The sharding of a batch of `size` rows; which of this host's rows each part begins with."""
    first_local, offsets = 0, {}
    for start, stop in rows_of_host(mesh, size):
        offsets[start] = first_local
        first_local += stop - start
    return batch_sharding(mesh), offsets


def place(arrays: Mapping[str, Any], mesh: Mesh, size: int) -> dict[str, jax.Array]:
    """This host's rows -> global arrays on the mesh (no copy between hosts)."""
    sharding, offsets = _placement(mesh, size)

    def put(array):
        def part(index):
            start, stop, _ = index[0].indices(size)
            local = offsets[start]
            return array[local : local + stop - start]

        return jax.make_array_from_callback((size, *array.shape[1:]), sharding, part)

    return {name: put(array) for name, array in arrays.items()}
