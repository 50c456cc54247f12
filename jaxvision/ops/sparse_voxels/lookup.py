"""Where a coordinate stands in a sorted list of voxels: a binary search on two-word keys."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxvision.ops.sparse_voxels.sites import Sites, key_words, representable, site_words


def find_runs(sites: Sites, coords: Int[Array, "s *n 4"], length: int) -> Int[Array, "s *n k"]:
    """Rows of the `length` voxels at coords, coords + (0, 0, 0, 1), ...; `capacity` where missing.

    Voxels of one run are neighbours in the list, so a single search serves the whole run.
    """

    def one(high: Array, low: Array, wanted: Array) -> Array:
        rows = high.shape[0]
        # A run that starts below the representable range is searched from its lowest member.
        start = wanted.at[..., 3].set(jnp.maximum(wanted[..., 3], -(1 << 13)))
        # 1. Binary search for the first row whose key is not below the run's start.
        want_high, want_low = key_words(start)
        first = jnp.zeros(want_high.shape, jnp.int32)
        last = jnp.full(want_high.shape, rows, jnp.int32)

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            first, last = bounds
            middle = (first + last) // 2
            h, w = high[middle], low[middle]
            before = (h < want_high) | ((h == want_high) & (w < want_low))
            open_ = first < last
            first = jnp.where(open_ & before, middle + 1, first)
            return first, jnp.where(open_ & ~before, middle, last)

        first, _ = jax.lax.fori_loop(0, rows.bit_length(), halve, (first, last))
        # 2. The run's members that exist lie among the next `length` rows, in order; each is
        #    compared with all of these, since those that are missing move the others up.
        candidates = first[..., None] + jnp.arange(length)
        safe = jnp.minimum(candidates, rows - 1)
        found = []
        for step in range(length):
            member = wanted.at[..., 3].add(step)
            member_high, member_low = key_words(member)
            equal = (high[safe] == member_high[..., None]) & (low[safe] == member_low[..., None])
            equal &= (candidates < rows) & representable(member)[..., None]
            found.append(jnp.min(jnp.where(equal, candidates, rows), axis=-1))
        return jnp.stack(found, axis=-1)

    return jax.vmap(one)(*site_words(sites), coords)


def find(sites: Sites, coords: Int[Array, "s *n 4"]) -> Int[Array, "s *n"]:
    """Row of every coordinate (scan, x, y, z), or `sites.capacity` where no such voxel exists."""
    return find_runs(sites, coords, 1)[..., 0]
