"""Correlation with a fixed window around each pixel: the cost volume of PWC-Net (1709.02371,
section 3)."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError


def local_correlation(
    first: Float[Array, "b h w c"], second: Float[Array, "b h w c"], max_displacement: int = 4
) -> Float[Array, "b h w channels"]:
    """mean over channels of first(x, y) * second(x + dx, y + dy), in float32; zeros outside.

    Channels are the displacements of -max_displacement to max_displacement in both axes, dy slow.
    """
    if first.ndim != 4 or first.shape != second.shape or max_displacement < 0:
        raise InputError(
            f"local_correlation: {first.shape} and {second.shape}, max_displacement "
            f"{max_displacement}: expected two equal [b, h, w, c] and at least 0"
        )
    return _correlation(first, second, max_displacement)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _correlation(first: Array, second: Array, most: int) -> Array:
    padded = _padded(second, most)
    height, width, channels = first.shape[1:]
    mine = first.astype(jnp.float32)

    def one_row(dy: Array) -> Float[Array, "b h w d"]:
        rows = jax.lax.dynamic_slice_in_dim(padded, dy, height, axis=1)
        shifted = [rows[:, :, dx : dx + width] for dx in range(2 * most + 1)]
        # A product of vectors: XLA is eight times slower on a CPU to sum over the last axis.
        products = [
            jnp.einsum("bhwc,bhwc->bhw", mine, each, precision="highest") for each in shifted
        ]
        return jnp.stack(products, axis=-1) / channels

    found = jax.lax.map(one_row, jnp.arange(2 * most + 1))
    return jnp.moveaxis(found, 0, -2).reshape(*first.shape[:3], -1)


def _keep(first: Array, second: Array, most: int) -> tuple[Array, tuple[Array, Array]]:
    return _correlation(first, second, most), (first, second)


def _pull(
    most: int, kept: tuple[Array, Array], cotangent: Float[Array, "b h w channels"]
) -> tuple[Array, Array]:
    """One row of displacements at a time: no copy of a map for each of them."""
    first, second = kept
    padded, mine = _padded(second, most), first.astype(jnp.float32)
    height, width, channels = first.shape[1:]
    side = 2 * most + 1
    given = cotangent.reshape(*first.shape[:3], side, side) / channels

    def add(totals: tuple[Array, Array], step: tuple[Array, Array]) -> tuple[tuple, None]:
        of_first, of_second = totals
        dy, row = step
        theirs = jax.lax.dynamic_slice_in_dim(padded, dy, height, axis=1)
        by_rows = jax.lax.dynamic_slice_in_dim(of_second, dy, height, axis=1)
        for dx in range(side):
            share = row[..., dx : dx + 1]
            of_first = of_first + share * theirs[:, :, dx : dx + width]
            by_rows = by_rows.at[:, :, dx : dx + width].add(share * mine)
        of_second = jax.lax.dynamic_update_slice_in_dim(of_second, by_rows, dy, axis=1)
        return (of_first, of_second), None

    start = jnp.zeros(first.shape, jnp.float32), jnp.zeros(padded.shape, jnp.float32)
    steps = jnp.arange(side), jnp.moveaxis(given, -2, 0)
    (of_first, of_second), _ = jax.lax.scan(add, start, steps)
    inner = of_second[:, most : most + height, most : most + width]
    return of_first.astype(first.dtype), inner.astype(second.dtype)


def _padded(maps: Float[Array, "b h w c"], most: int) -> Float[Array, "b h2 w2 c"]:
    return jnp.pad(maps.astype(jnp.float32), ((0, 0), (most, most), (most, most), (0, 0)))


_correlation.defvjp(_keep, _pull)
