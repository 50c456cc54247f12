"""Sparse convolution on CPUs: a gather, a product and a sum into rows for every chunk of pairs that
exist. Neither missing neighbours nor padding rows cost anything.

XLA adds in the lists' order on a CPU: the same bits in every run.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.sparse_voxels.existing_pairs import LARGEST_CHUNK, Pairs, list_pairs
from jaxvision.ops.sparse_voxels.kernel_map import KernelMap

# Most channels, and the pairs that are multiplied at once: so many that the steps of the loop cost
# little beside its products, and so few that half a chunk at each list's end does. As measured:
# docs/performance.md.
CHUNKS, LEAST_CHUNK = {16: LARGEST_CHUNK, 64: 512}, 256


def chunk_size(inputs: int, outputs: int) -> int:
    """Pairs that are multiplied at once, of so many channels: a power of two."""
    widest = max(inputs, outputs)
    return next((size for channels, size in CHUNKS.items() if widest <= channels), LEAST_CHUNK)


@jax.custom_vjp
def convolve(
    features: Float[Array, "s i c"], weights: Float[Array, "k c d"], neighbours: KernelMap
) -> Float[Array, "s o d"]:
    """See `sparse_convolution`."""
    rows = neighbours.inputs.shape[2]

    def local(features: Array, pairs: Pairs, weights: Array) -> Array:
        return _accumulate(features, pairs, weights, rows)

    return over_batch(local, features, _pairs(neighbours), whole=(weights,))


def _forward(features: Array, weights: Array, neighbours: KernelMap) -> tuple[Array, tuple]:
    return convolve(features, weights, neighbours), (features, weights, neighbours)


def _backward(saved: tuple, cotangent: Array) -> tuple[Array, Array, None]:
    features, weights, neighbours = saved

    def local(
        cotangent: Array, features: Array, pairs: Pairs, weights: Array
    ) -> tuple[Array, Array]:
        cotangent = cotangent.astype(features.dtype)
        back = jnp.swapaxes(weights, 1, 2)
        by_features = _accumulate(cotangent, pairs.transpose(), back, features.shape[1])
        # Each device's sum on an axis of its own: the one all-reduce comes after.
        return by_features, _by_weights(features, cotangent, pairs)[None]

    of_features, of_weights = over_batch(
        local, cotangent, features, _pairs(neighbours), whole=(weights,)
    )
    return of_features, jnp.sum(of_weights, axis=0).astype(weights.dtype), None


convolve.defvjp(_forward, _backward)


def _pairs(neighbours: KernelMap) -> Pairs:
    """The map's, or found now where it was made without."""
    if neighbours.pairs is not None:
        return neighbours.pairs
    shards, _, inputs = neighbours.outputs.shape
    rows = neighbours.inputs
    return list_pairs(rows, inputs, jnp.full((shards,), rows.shape[2], jnp.int32))


def _accumulate(
    features: Float[Array, "s i c"], pairs: Pairs, weights: Float[Array, "k c d"], rows: int
) -> Float[Array, "s o d"]:
    """Sum over all pairs of features[input] @ weights[k] into `rows` rows, in float32.

    Behind a list's last pair nothing is written, so that it does not matter what is read there.
    """
    shards, read_rows, _ = features.shape
    width = weights.shape[2]
    start = jnp.zeros((shards, rows, width), jnp.float32)
    if pairs.own:
        middle = len(weights) // 2
        product = _product("svc,cd->svd", features, weights[middle])
        start = jnp.where(_exists(pairs, rows), product, 0)
        weights = jnp.concatenate([weights[:middle], weights[middle + 1 :]])
    table, start = (each.reshape(-1, each.shape[-1]) for each in (features, start))
    shard = jnp.arange(shards)[:, None, None]
    reads = pairs.inputs + read_rows * shard
    writes = jnp.where(pairs.outputs < rows, pairs.outputs + rows * shard, len(start))

    def add_list(total: Array, number: Array) -> tuple[Array, None]:
        tap, shard = jnp.divmod(number, shards)

        def add(total: Array, read: Array, write: Array) -> Array:
            product = _product("nc,cd->nd", table.at[read].get(mode="clip"), weights[tap])
            return total.at[write].add(product, mode="drop")

        size = chunk_size(*weights.shape[1:])
        return _by_chunks(total, (reads, writes, pairs.counts), (shard, tap), size, add), None

    total, _ = jax.lax.scan(add_list, start, jnp.arange(pairs.counts.size))
    return total.reshape(shards, rows, width).astype(features.dtype)


def _by_weights(
    features: Float[Array, "s i c"], cotangent: Float[Array, "s o d"], pairs: Pairs
) -> Float[Array, "k c d"]:
    """Sum over all pairs of features[input] cotangent[output]^T, in float32.

    Voxels that meet themselves are pairs like the others here: XLA would copy all features
    transposed for one product.
    """
    shards, rows, width = cotangent.shape
    pairs = pairs.all_listed(rows)
    table, given = _flat(features), _flat(cotangent)
    reads = _flat_rows(pairs.inputs, features.shape[1])
    writes = _flat_rows(pairs.outputs, rows)

    def of_tap(tap: Array) -> Array:
        def add(total: Array, read: Array, write: Array) -> Array:
            return total + _product("nc,nd->cd", _read(table, read), _read(given, write))

        def add_shard(shard: Array, total: Array) -> Array:
            lists, size = (reads, writes, pairs.counts), chunk_size(*total.shape)
            return _by_chunks(total, lists, (shard, tap), size, add)

        start = jnp.zeros((features.shape[2], width), jnp.float32)
        return jax.lax.fori_loop(0, shards, add_shard, start)

    return jax.lax.map(of_tap, jnp.arange(pairs.counts.shape[1]))


def _by_chunks(
    total: Array,
    lists: tuple[Int[Array, "s k p"], Int[Array, "s k p"], Int[Array, "s k"]],
    which: tuple[Array, Array],
    size: int,
    add: Callable[[Array, Array, Array], Array],
) -> Array:
    """total after add(total, inputs, outputs) for every `size` pairs of one list.

    lists: inputs, outputs, and how many pairs there are.  which: (shard, kernel index).
    """
    *sides, counts = lists
    size = min(size, sides[0].shape[2])

    def one(number: Array, total: Array) -> Array:
        start = (*which, number * size)
        read, write = (jax.lax.dynamic_slice(side, start, (1, 1, size))[0, 0] for side in sides)
        return add(total, read, write)

    return jax.lax.fori_loop(0, (counts[which] + size - 1) // size, one, total)


def _flat(values: Float[Array, "s n c"]) -> Float[Array, "s*(n+1) c"]:
    """All shards' rows, each shard with one row of zeros more: the ends of the lists name it."""
    return jnp.pad(values, ((0, 0), (0, 1), (0, 0))).reshape(-1, values.shape[-1])


def _flat_rows(rows: Int[Array, "s k p"], count: int) -> Int[Array, "s k p"]:
    """Row numbers of `_flat`, where a shard has `count` rows."""
    return rows + (count + 1) * jnp.arange(len(rows))[:, None, None]


def _read(table: Float[Array, "n c"], rows: Int[Array, " p"]) -> Float[Array, "p c"]:
    return table.at[rows].get(mode="promise_in_bounds")


def _exists(pairs: Pairs, rows: int) -> Bool[Array, "s v 1"]:
    return (jnp.arange(rows) < pairs.voxels[:, None])[..., None]


def _product(formula: str, *factors: Array) -> Array:
    return jnp.einsum(formula, *factors, preferred_element_type=jnp.float32)
