"""Many small parameters as a few long vectors, for the optimizer alone.

An optimizer does the same few operations to every leaf. Where a network has hundreds, each of them
small, those are most of a training step's program, and a CPU's compiler takes minutes over it; as
vectors there is one of each.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from jaxvision.weights.mapping import flatten, unflatten


def packs(groups: Mapping) -> dict[str, list[str]]:
    """Which leaves, by path, lie in each vector: those of equal groups. A leaf with a value for
    each of its layers stays alone.

    groups: a tree of `Group`.
    """
    found: dict[str, list[str]] = {}
    for path, group in flatten(groups).items():
        alike = not any(np.ndim(value) for value in (group.train, group.decay, group.lr))
        found.setdefault(repr(tuple(group)) if alike else path, []).append(path)
    return found


def packed(
    make: Callable[[Mapping], optax.GradientTransformationExtraArgs], groups: Mapping
) -> optax.GradientTransformationExtraArgs:
    """`make(groups)` of the vectors' groups, for trees like `groups`. Its state is of vectors."""
    members, flat = packs(groups), flatten(groups)
    inner = make({name: flat[paths[0]] for name, paths in members.items()})

    def pack(tree: Mapping) -> dict[str, Any]:
        leaves = flatten(tree)
        return {
            name: jnp.concatenate([leaves[path].reshape(-1) for path in paths])
            if len(paths) > 1
            else leaves[paths[0]]
            for name, paths in members.items()
        }

    def unpack(vectors: Mapping[str, Any], like: Mapping) -> Any:
        leaves, shapes = {}, flatten(like)
        for name, paths in members.items():
            if len(paths) == 1:
                leaves[paths[0]] = vectors[name]
                continue
            ends = np.cumsum([shapes[path].size for path in paths])
            for path, part in zip(paths, jnp.split(vectors[name], ends[:-1]), strict=True):
                leaves[path] = part.reshape(shapes[path].shape)
        return unflatten(leaves)

    def update(updates, state, params, **extra):
        vectors, state = inner.update(pack(updates), state, pack(params), **extra)
        return unpack(vectors, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: inner.init(pack(params)), update)
