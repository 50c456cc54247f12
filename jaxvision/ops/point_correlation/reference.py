"""Search, then products with one neighbour of every point at a time, so that the features of all
neighbours are never in memory: the definition of right, on any device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.grouping import group_points
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours


def correlations(
    first: Float[Array, "b n c"],
    second: Float[Array, "b m c"],
    xyz1: Float[Array, "b n 3"],
    xyz2: Float[Array, "b m 3"],
    k: int,
    search: str | None = "reference",
) -> tuple[Float[Array, "b n k 4"], Int[Array, "b n k"]]:
    """(what `point_correlation` returns, the indices of the nearest).

    search: the implementation of `k_nearest_neighbours`.
    """
    nearest, _ = k_nearest_neighbours(xyz2, xyz1, k, implementation=search)
    offset = group_points(xyz2, nearest) - xyz1[:, :, None]
    products = _products(first, second, nearest) / first.shape[2]
    return jnp.concatenate([offset, products[..., None]], axis=-1), nearest


@jax.custom_vjp
def _products(
    first: Float[Array, "b n c"], second: Float[Array, "b m c"], nearest: Int[Array, "b n k"]
) -> Float[Array, "b n k"]:
    """first . second of the nearest, in float32."""
    mine = first.astype(jnp.float32)

    def one(index: Int[Array, "b n"]) -> Float[Array, "b n"]:
        theirs = group_points(second, index).astype(jnp.float32)
        # As a product: a CPU is slow at sums over the last axis.
        return jnp.einsum("bnc,bnc->bn", mine, theirs, precision="highest")

    return jnp.moveaxis(jax.lax.map(one, jnp.moveaxis(nearest, 2, 0)), 0, 2)


def _keep(first: Array, second: Array, nearest: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    return _products(first, second, nearest), (first, second, nearest)


def _pull(
    kept: tuple[Array, Array, Array], cotangent: Float[Array, "b n k"]
) -> tuple[Array, Array, None]:
    first, second, nearest = kept
    mine = first.astype(jnp.float32)

    def add(total: tuple[Array, Array], step: tuple[Array, Array]) -> tuple[tuple, None]:
        index, given = step
        theirs = group_points(second, index).astype(jnp.float32)
        of_first = total[0] + given[..., None] * theirs
        of_second = jax.vmap(lambda t, i, v: t.at[i].add(v))(
            total[1], index, given[..., None] * mine
        )
        return (of_first, of_second), None

    start = jnp.zeros(first.shape, jnp.float32), jnp.zeros(second.shape, jnp.float32)
    steps = jnp.moveaxis(nearest, 2, 0), jnp.moveaxis(cotangent, 2, 0)
    (of_first, of_second), _ = jax.lax.scan(add, start, steps)
    return of_first.astype(first.dtype), of_second.astype(second.dtype), None


_products.defvjp(_keep, _pull)
