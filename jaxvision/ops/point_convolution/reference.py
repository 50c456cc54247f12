"""The maximum of weighted features, one neighbour at a time, so that the features of all neighbours
are never in memory: the definition of right, on any device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.grouping import group_points


@jax.custom_vjp
def weighted_maximum(
    features: Float[Array, "b n c"],
    weights: Float[Array, "b m k c"],
    neighbours: Int[Array, "b m k"],
) -> Float[Array, "b m c"]:
    """See `depthwise_point_convolution`."""
    return _maximum_and_place(features, weights, neighbours)[0]


def _maximum_and_place(
    features: Array, weights: Array, neighbours: Array
) -> tuple[Float[Array, "b m c"], Int[Array, "b m c"]]:
    """(maximum, which of the neighbours has it first)."""
    b, m, k = neighbours.shape

    def compare(best: tuple[Array, Array], step: tuple[Array, Array, Array]) -> tuple[tuple, None]:
        most, place = best
        number, rows, weight = step
        value = group_points(features, rows).astype(jnp.float32) * weight
        larger = value > most
        return (jnp.where(larger, value, most), jnp.where(larger, number, place)), None

    start = (
        jnp.full((b, m, features.shape[2]), -jnp.inf, jnp.float32),
        jnp.zeros((b, m, features.shape[2]), jnp.int32),
    )
    steps = jnp.arange(k), jnp.moveaxis(neighbours, 2, 0), jnp.moveaxis(weights, 2, 0)
    (most, place), _ = jax.lax.scan(compare, start, steps)
    return most.astype(features.dtype), place


def _keep(features: Array, weights: Array, neighbours: Array) -> tuple[Array, tuple]:
    most, place = _maximum_and_place(features, weights, neighbours)
    return most, (features, weights, neighbours, place)


def _pull(kept: tuple, cotangent: Float[Array, "b m c"]) -> tuple[Array, Array, None]:
    features, weights, neighbours, place = kept
    given = cotangent.astype(jnp.float32)

    def add(total: Array, step: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        number, rows, weight = step
        share = jnp.where(place == number, given, 0)
        of_weight = share * group_points(features, rows)
        total = jax.vmap(lambda t, i, v: t.at[i].add(v))(total, rows, share * weight)
        return total, of_weight.astype(weights.dtype)

    steps = (
        jnp.arange(neighbours.shape[2]),
        jnp.moveaxis(neighbours, 2, 0),
        jnp.moveaxis(weights, 2, 0),
    )
    total, of_weights = jax.lax.scan(add, jnp.zeros(features.shape, jnp.float32), steps)
    return total.astype(features.dtype), jnp.moveaxis(of_weights, 0, 2), None


weighted_maximum.defvjp(_keep, _pull)
