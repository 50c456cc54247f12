"""Work on a few rows at a time, so that what lies between stays in a CPU's cache.

Tables of m blocks get one row more, of zeros, for what does not exist: so every row number can be
read as it is, several times faster on a CPU than where each has to be checked.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Rows of a chunk.
CHUNK = 256


class Chunk(NamedTuple):
    """start: the first row.  fresh: which rows no chunk before had."""

    start: Int[Array, ""]
    fresh: Bool[Array, " n"]

    def take(self, array: Array, axis: int = 1) -> Array:
        """These rows of an array."""
        return jax.lax.dynamic_slice_in_dim(array, self.start, len(self.fresh), axis)

    def put(self, array: Array, rows: Array) -> Array:
        """The array with these rows."""
        return jax.lax.dynamic_update_slice_in_dim(array, rows, self.start, axis=1)


def by_chunks(
    rows: int, existing: Int[Array, ""] | int, results: Any, work: Callable[[Chunk, Any], Any]
) -> Any:
    """The results after work(chunk, results) on all of the first `existing` rows, and perhaps on
    some of the others: the capacity `rows` costs nothing."""
    size = min(CHUNK, rows)

    def one(number: Array, results: Any) -> Any:
        # The last chunk is moved back, and works on some rows a second time.
        start = jnp.minimum(number * size, rows - size)
        return work(Chunk(start, start + jnp.arange(size) >= number * size), results)

    return jax.lax.fori_loop(0, (existing + size - 1) // size, one, results)


def read_rows(table: Float[Array, "s m+1 c"], rows: Int[Array, "s *n"]) -> Float[Array, "s *n c"]:
    """table[rows] per shard; row m is zeros."""
    return jax.vmap(lambda t, r: t.at[r].get(mode="promise_in_bounds"))(table, rows)
