"""Sampling as a gather of the corners around each point: the definition of right, on any device."""

import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def sample_rows(
    features: Float[Array, "x rows c"], where: Float[Array, "x m d"], sizes: tuple[int, ...]
) -> Float[Array, "x m c"]:
    """(Bi- or tri-)linear interpolation between rows.

    features: a map of `sizes` (width, height[, length]) with its pixels in row-major (t, y, x)
    order.  where: coordinates (x, y[, t]) in pixels from the first one's centre, finite; corners
    outside the map count as zero. Weights are float32, sums too; the result has the features'
    dtype.
    """
    total = jnp.zeros((*where.shape[:-1], features.shape[-1]), jnp.float32)
    for row, weight in corners(where, sizes):
        total = total + _take(features, row).astype(jnp.float32) * weight[..., None]
    return total.astype(features.dtype)


def corners(
    where: Float[Array, "x m d"], sizes: tuple[int, ...]
) -> Iterator[tuple[Int[Array, "x m"], Float[Array, "x m"]]]:
    """(row, weight) of each of the 4 or 8 pixels around a point; weight 0 outside the map."""
    low = jnp.floor(where)
    share = where - low
    first = low.astype(jnp.int32)
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        row, weight, stride = jnp.zeros_like(first[..., 0]), jnp.ones_like(share[..., 0]), 1
        for axis, (step, size) in enumerate(zip(corner, sizes, strict=True)):
            place = first[..., axis] + step
            part = share[..., axis] if step else 1 - share[..., axis]
            weight = weight * jnp.where((place >= 0) & (place < size), part, 0)
            row, stride = row + jnp.clip(place, 0, size - 1) * stride, stride * size
        yield row, weight


def _take(features: Float[Array, "x rows c"], rows: Int[Array, "x m"]) -> Float[Array, "x m c"]:
    return jax.vmap(lambda f, r: jnp.take(f, r, axis=0, mode="clip"))(features, rows)
