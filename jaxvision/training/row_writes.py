"""Writing rows of an array that is too large to be copied: a memory, kept outputs."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Int, Shaped

NO_ROW = -1  # an entry that is not to be written (a batch's padding)


def write_rows(
    array: Shaped[Array, "r *shape"],
    rows: Int[Array, " n"],
    values: Shaped[Array, "n *shape"],
    allowed: Bool[Array, ""] | bool = True,
) -> tuple[Shaped[Array, "r *shape"], Int[Array, ""]]:
    """(`array` with `values` at `rows`, how many rows lie outside it and were dropped).

    Of equal rows the last wins, on every machine: a scatter with equal rows may keep any of them on
    a GPU, so all but the last are sent out of range, where `mode="drop"` leaves them. So are all
    where not `allowed`: choosing between the old array and the new one would copy it whole.
    """
    count, places = array.shape[0], jnp.arange(rows.shape[0])
    rows = rows.astype(jnp.int32)
    if not jax.sharding.get_abstract_mesh().empty:
        rows = jax.lax.with_sharding_constraint(rows, PartitionSpec())  # few: sorted in one place
    inside = (rows >= 0) & (rows < count)
    # 1. Equal rows side by side, in their old order; the last of each run wins.
    order = jnp.argsort(rows, stable=True)
    in_order = rows[order]
    last_of_run = jnp.append(in_order[1:] != in_order[:-1], True)
    wins = jnp.zeros(rows.shape, bool).at[order].set(last_of_run, unique_indices=True)
    # 2. The others go to rows of their own behind the end, so that no two are equal.
    target = jnp.where(inside & wins & allowed, rows, count + places)
    written = array.at[target].set(
        values.astype(array.dtype), mode="drop", unique_indices=True, wrap_negative_indices=False
    )
    return written, jnp.sum(~inside & (rows != NO_ROW))
