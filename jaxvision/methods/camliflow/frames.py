"""Both frames through the same layers, one after the other, as published: norms that see both have
statistics of each, and update the running ones twice, by the first frame, then by the second.

It is a loop, so that the layers are compiled once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def each_frame(module: nn.Module, call: Callable[[Any, Any], Any], frames: Any) -> Any:
    """`call(module, frame)` of both frames, whose leaves lie behind an axis of two, as those of
    `frames` do."""
    if module.is_initializing():  # parameters and statistics must be there before a loop
        found = [call(module, jax.tree.map(lambda x, i=i: x[i], frames)) for i in range(2)]
        return jax.tree.map(lambda *x: jnp.stack(x), *found)

    def step(module: nn.Module, carry: None, frame: Any) -> tuple[None, Any]:
        return carry, call(module, frame)

    changing = ["batch_stats"] if module.is_mutable_collection("batch_stats") else []
    loop = nn.scan(
        step,
        variable_broadcast=["params"] if changing else ["params", "batch_stats"],
        variable_carry=changing,
        split_rngs={"params": False},
        length=2,
    )
    return loop(module, None, frames)[1]
