"""Weights to time a network with, which are not worth compiling the network's own initialisation
for: that takes longer than the network where it has many layers."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

ONES = ("scale", "var")


def untrained(init: Callable, *arguments: Any) -> Any:
    """What init(*arguments) gives, without the boxes and with other numbers: random of standard
    deviation 1 / sqrt(inputs) in matrices and kernels, ones in scales and variances, else zeros."""
    rng = np.random.default_rng(0)

    def made(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        # Norms of stacked layers have matrices of them.
        if str(getattr(path[-1], "key", "")) in ONES:
            return jnp.ones(leaf.shape, leaf.dtype)
        if len(leaf.shape) > 1 and jnp.issubdtype(leaf.dtype, jnp.floating):
            deviation = 1 / math.sqrt(math.prod(leaf.shape[:-1]))
            return jnp.asarray(deviation * rng.standard_normal(leaf.shape, np.float32), leaf.dtype)
        return jnp.zeros(leaf.shape, leaf.dtype)

    shapes = nn.meta.unbox(jax.eval_shape(init, *arguments))
    return jax.tree_util.tree_map_with_path(made, shapes)
