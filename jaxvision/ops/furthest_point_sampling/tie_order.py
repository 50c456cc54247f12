"""Which of equally far points is taken.

The published kernel has 1,024 threads: a thread keeps the first of its points (every 1,024th), and
a tree of comparisons over the threads, half of them at a time, keeps the upper one. With the points
laid out in that order of preference, every implementation may simply take the first.
"""

from collections.abc import Callable
from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

THREADS = 1024


@cache
def preference(count: int) -> Int[np.ndarray, " n"]:
    """Indices 0 to count - 1, those first that win among equals."""
    index = np.arange(count)
    thread = index % THREADS
    backwards = np.zeros(count, np.int64)
    for bit in range(THREADS.bit_length() - 1):
        backwards = 2 * backwards + (thread >> bit & 1)
    return np.lexsort((index, -backwards)).astype(np.int32)


def in_tie_order(
    sample: Callable[..., Array], points: Float[Array, "b n d"], samples: int
) -> Int[Array, "b samples"]:
    """What `sample(points, first, samples)` answers, which takes the first of equals."""
    order = preference(points.shape[1])
    first = int(np.flatnonzero(order == 0)[0])
    laid_out = points.astype(jnp.float32)[:, order]
    return jnp.asarray(order)[sample(laid_out, first, samples)]
