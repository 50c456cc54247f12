"""Which voxels exist: a static-capacity list of integer coordinates in lexicographic order.

Every array has a leading axis of shards, and nothing crosses it, so that a mesh which splits the
shards needs no collective. A shard may hold several scans; the scan index is part of a coordinate.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt32

# A coordinate is compared as two 32-bit words, (scan, x) and (y, z): 64-bit integers are switched
# off by default in JAX and slow on accelerators.
BITS = {"scan": 14, "x": 18, "y": 18, "z": 14}
LOWEST = (0, -(1 << 17), -(1 << 17), -(1 << 13))
HIGHEST = ((1 << 14) - 2, (1 << 17) - 1, (1 << 17) - 1, (1 << 13) - 1)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["coords", "count", "overflow"],
    meta_fields=["stride"],
)
@dataclass(frozen=True)
class Sites:
    """Existing voxels of every shard, unique, sorted by (scan, x, y, z), padding last.

    coords: scan, x, y, z in units of this level's voxels (not of the finest level's).
    count: voxels that exist; rows from `count` on are padding with coordinates 0.
    overflow: distinct voxels that found no room or lay outside the representable range.
    stride: size of this level's voxels in those of the finest level.
    """

    coords: Int[Array, "s v 4"]
    count: Int[Array, " s"]
    overflow: Int[Array, " s"]
    stride: tuple[int, int, int] = (1, 1, 1)

    @classmethod
    def packed(cls, coords: Int[Array, "s v 3"], count: Int[Array, " s"]) -> "Sites":
        """One scan a shard, whose `count` voxels x, y, z come in lexicographic order before the
        padding (zeros)."""
        scan = jnp.zeros((*coords.shape[:2], 1), jnp.int32)
        return cls(jnp.concatenate([scan, coords], axis=-1), count, jnp.zeros_like(count))

    @property
    def capacity(self) -> int:
        """Rows of a shard."""
        return self.coords.shape[1]

    @property
    def valid(self) -> Bool[Array, "s v"]:
        """Which rows are voxels."""
        return jnp.arange(self.capacity) < self.count[:, None]


def representable(coords: Int[Array, "*n 4"]) -> Bool[Array, "*n"]:
    """Whether (scan, x, y, z) fits the key: 2**18 voxels in x and y, 2**14 in z and scans."""
    low, high = jnp.asarray(LOWEST), jnp.asarray(HIGHEST)
    return jnp.all((coords >= low) & (coords <= high), axis=-1)


def key_words(coords: Int[Array, "*n 4"]) -> tuple[UInt32[Array, "*n"], UInt32[Array, "*n"]]:
    """Two words whose lexicographic order is that of (scan, x, y, z)."""
    scan, x, y, z = jnp.moveaxis(coords - jnp.asarray(LOWEST), -1, 0).astype(jnp.uint32)
    return (scan << BITS["x"]) | x, (y << BITS["z"]) | z


def _sentinel(words: tuple[Array, Array], valid: Array) -> tuple[Array, Array]:
    """Words of rows that are no voxel sort behind all others (no scan has the highest index)."""
    last = jnp.uint32(0xFFFFFFFF)
    return jnp.where(valid, words[0], last), jnp.where(valid, words[1], last)


def site_words(sites: Sites) -> tuple[UInt32[Array, "s v"], UInt32[Array, "s v"]]:
    """Sorted key words of all rows, padding last."""
    return _sentinel(key_words(sites.coords), sites.valid)


def unique_sites(
    coords: Int[Array, "s n 4"],
    valid: Bool[Array, "s n"],
    capacity: int,
    stride: tuple[int, int, int] = (1, 1, 1),
) -> tuple[Sites, Int[Array, "s n"], Int[Array, "s v"]]:
    """Distinct coordinates, which row each input row became, and each row's first input row.

    Beyond `capacity` the last voxels in order are dropped and counted. Input rows that are invalid
    or dropped map to row `capacity`; padding rows have the first input row n.
    """
    usable = valid & representable(coords)
    outside = jnp.sum(valid & ~usable, axis=1)
    rows = coords.shape[1]

    def one(coords: Array, usable: Array) -> tuple[Array, Array, Array, Array]:
        high, low = _sentinel(key_words(coords), usable)
        # The input row is the last key, so the first of equal voxels is the first of the input.
        high, low, order = jax.lax.sort((high, low, jnp.arange(rows)), num_keys=3)
        # Each change of key starts a voxel; its slot is the number of starts before it.
        differs = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        starts = jnp.concatenate([jnp.ones((1,), bool), differs]) & usable[order]
        slot = jnp.cumsum(starts) - 1
        kept = usable[order] & (slot < capacity)
        slot = jnp.where(kept, slot, capacity)
        target = jnp.where(starts, slot, capacity)
        # Only a voxel's first row writes; what has no slot is sent beyond the end and dropped.
        first = jnp.full((capacity,), rows).at[target].set(order, mode="drop")
        unique = jnp.zeros((capacity, 4), jnp.int32).at[target].set(coords[order], mode="drop")
        row_of = jnp.zeros((rows,), jnp.int32).at[order].set(slot, unique_indices=True)
        return unique, jnp.sum(starts), row_of, first

    if rows == 0:
        raise ValueError("unique_sites: no rows; pad an empty scan to one invalid row")
    unique, found, row_of, first = jax.vmap(one)(coords.astype(jnp.int32), usable)
    kept = jnp.minimum(found, capacity)
    return Sites(unique, kept, found - kept + outside, stride), row_of, first


def coarse_sites(sites: Sites, edge: int, capacity: int) -> tuple[Sites, Int[Array, "s v"]]:
    """Cells of `edge` voxels per axis that hold a voxel, and the cell row of every voxel.

    The cell of a coordinate is its floor division, also below zero. Padding rows and voxels of
    dropped cells have the cell row `capacity`.
    """
    divisor = jnp.asarray((1, edge, edge, edge))
    x, y, z = sites.stride
    coarse, cell_of, _ = unique_sites(
        jnp.floor_divide(sites.coords, divisor),
        sites.valid,
        capacity,
        (x * edge, y * edge, z * edge),
    )
    return coarse, cell_of
