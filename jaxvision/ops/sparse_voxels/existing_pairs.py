"""The pairs of a kernel map that exist, listed: most kernel indices find few neighbours."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

# Most pairs whose features are multiplied at once: see `pairs.chunk_size`.
LARGEST_CHUNK = 1024


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["inputs", "outputs", "counts", "voxels"],
    meta_fields=["own"],
)
@dataclass(frozen=True)
class Pairs:
    """Input and output row of every pair, one list per kernel index; its length is a power of two
    or a multiple of LARGEST_CHUNK, so that every power of two up to that divides it.

    inputs, outputs: rows; behind the last pair of a list, the number of rows of each side.
    counts: pairs in each list.
    voxels: of the outputs.
    own: the middle kernel index is not listed, since under it every voxel meets itself.
    """

    inputs: Int[Array, "s k p"]
    outputs: Int[Array, "s k p"]
    counts: Int[Array, "s k"]
    voxels: Int[Array, " s"]
    own: bool = False

    def transpose(self) -> "Pairs":
        """The same pairs with roles swapped, for a map between a list of voxels and itself or for
        one that lists all indices."""
        return Pairs(self.outputs, self.inputs, self.counts, self.voxels, self.own)

    def all_listed(self, capacity: int) -> "Pairs":
        """The same with a list for the middle kernel index, too.  capacity: rows of each side."""
        if not self.own:
            return self
        shards, taps, length = self.inputs.shape
        middle, voxels = taps // 2, self.voxels[:, None, None]
        rows = jnp.broadcast_to(jnp.arange(length), (shards, 1, length))
        own = jnp.where(rows < voxels, rows, capacity)

        def with_own(lists: Array, own: Array) -> Array:
            return jnp.concatenate([lists[:, :middle], own, lists[:, middle:]], axis=1)

        counts = with_own(self.counts, self.voxels[:, None])
        return Pairs(with_own(self.inputs, own), with_own(self.outputs, own), counts, self.voxels)


def power_of_two(least: int) -> int:
    """The lowest that is not less."""
    return 1 << (least - 1).bit_length()


def list_pairs(rows: Int[Array, "s k o"], inputs: int, voxels: Int[Array, " s"]) -> Pairs:
    """From the input row of every (kernel index, output row), of `inputs` rows; see `KernelMap`."""
    outputs = rows.shape[2]
    most = min(inputs, outputs)  # an input meets at most one output under a kernel index
    chunk = min(LARGEST_CHUNK, power_of_two(most))
    length = -(-most // chunk) * chunk
    exists = rows < inputs
    place = jnp.where(exists, jnp.cumsum(exists, axis=2) - 1, length)

    def one(rows: Array, place: Array) -> tuple[Array, Array]:
        def listed(values: Array, last: int) -> Array:
            return jnp.full((length,), last, jnp.int32).at[place].set(values, mode="drop")

        return listed(rows, inputs), listed(jnp.arange(outputs), outputs)

    read, write = jax.vmap(jax.vmap(one))(rows, place)
    return Pairs(read, write, jnp.sum(exists, axis=2, dtype=jnp.int32), voxels)


def list_own_pairs(rows: Int[Array, "s k v"], voxels: Int[Array, " s"]) -> Pairs:
    """Of an odd kernel between a list of voxels and itself: the opposite index has the same pairs
    with roles swapped."""
    capacity = rows.shape[2]
    if rows.shape[1] == 1:
        return list_pairs(rows, capacity, voxels)
    half = list_pairs(rows[:, : rows.shape[1] // 2], capacity, voxels)
    return Pairs(
        jnp.concatenate([half.inputs, half.outputs[:, ::-1]], axis=1),
        jnp.concatenate([half.outputs, half.inputs[:, ::-1]], axis=1),
        jnp.concatenate([half.counts, half.counts[:, ::-1]], axis=1),
        voxels,
        own=True,
    )
