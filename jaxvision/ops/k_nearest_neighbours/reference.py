"""The search in plain JAX, a block of queries at a time: the definition of right, on any device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# The largest squared distance that is ever found.
FAR = 1e9
# Distances in memory at once: 32 MB of float32.
BLOCK = 1 << 23


def nearest(
    points: Float[Array, "b n d"], queries: Float[Array, "b m d"], k: int
) -> tuple[Int[Array, "b m k"], Float[Array, "b m k"]]:
    """(indices, squared distances): see `k_nearest_neighbours`."""
    points, queries = points.astype(jnp.float32), queries.astype(jnp.float32)
    b, m, d = queries.shape
    rows = max(1, BLOCK // (b * points.shape[1]))
    if m <= rows:
        return _nearest_of_block(points, queries, k)
    blocks = -(-m // rows)
    padded = jnp.pad(queries, ((0, 0), (0, blocks * rows - m), (0, 0)))
    stacked = jnp.moveaxis(padded.reshape(b, blocks, rows, d), 1, 0)
    found = jax.lax.map(lambda block: _nearest_of_block(points, block, k), stacked)
    indices, squared = (jnp.moveaxis(each, 0, 1).reshape(b, -1, k)[:, :m] for each in found)
    return indices, squared


def _nearest_of_block(points: Array, queries: Array, k: int) -> tuple[Array, Array]:
    squared = jnp.zeros((), jnp.float32)
    for axis in range(points.shape[2]):
        squared = squared + jnp.square(queries[:, :, None, axis] - points[:, None, :, axis])
    squared = jnp.where(squared <= FAR, squared, jnp.inf)
    # 1. In the order of the points where equal.
    if k == 1:  # the first of all is the last place, too
        best = jnp.min(squared, axis=-1, keepdims=True)
        indices = jnp.zeros(best.shape, jnp.int32)
    else:
        # Barriers: distances are made once, not anew (with other rounding) where they are compared
        # below; and XLA knows a top k by its own slice, without which a CPU sorts whole rows.
        squared = jax.lax.optimization_barrier(squared)
        negative, indices = jax.lax.optimization_barrier(jax.lax.top_k(-squared, k))
        best = -negative
    # 2. Among equal candidates for the last place the latest wins that no nearer point follows: a
    #    nearer one would have moved the first of them there.
    last, number = best[..., -1:], jax.lax.broadcasted_iota(jnp.int32, squared.shape, 2)
    latest = jnp.max(jnp.where(squared == last, number, -1), axis=-1)
    nearer = jnp.max(jnp.where(best < last, indices, -1), axis=-1)
    place = jnp.where(latest > nearer, latest, indices[..., -1])
    indices = jnp.concatenate([indices[..., :-1], place[..., None]], axis=-1)
    # 3. What is out of reach.
    found = best <= FAR
    return jnp.where(found, indices, 0), jnp.where(found, best, FAR)
