"""What a loss was a mean, or a sum, over: one process of the paper's run, not the whole batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxvision.errors import InputError


def mean_over_groups(loss: Callable[..., Any], groups: int, *batch: Any) -> Any:
    """`loss(*batch)` of each of `groups` equal runs of neighbouring samples, averaged over them.

    The papers ran one process per GPU: each divided by its own number of boxes or valid pixels,
    and data parallelism averaged the processes. A group is such a process, whatever the mesh.

    groups: `config.train.loss_groups`; 1 is the loss of the whole (micro-)batch.
    batch: trees of arrays [b, ...].  loss: gives a tree of floats, which is averaged leaf by leaf.
    """
    if groups == 1:
        return loss(*batch)
    sizes = {x.shape[0] for x in jax.tree.leaves(batch)}
    if any(size % groups for size in sizes):
        raise InputError(f"train.loss_groups={groups} does not divide {min(sizes)} samples")
    divided = jax.tree.map(lambda x: x.reshape(groups, -1, *x.shape[1:]), batch)
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), jax.vmap(loss)(*divided))
