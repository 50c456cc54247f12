"""Products of each pixel's features with a window of another map, one place of the window at a
time: the definition of right, on any device."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvision.ops.grouping import group_points


def pixels(
    x: Int[Array, "*n"], y: Int[Array, "*n"], size: tuple[int, int]
) -> tuple[Int[Array, "*n"], Bool[Array, "*n"]]:
    """(row in row-major order, whether it is inside) of pixels of a map of (height, width)."""
    height, width = size
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    row = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
    return row, inside


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def window_products(
    first: Float[Array, "b m c"],
    second: Float[Array, "b h w c"],
    corners: Int[Array, "b m 2"],
    side: int,
) -> Float[Array, "b m s s"]:
    """first . second at the window [x, y] of `side` pixels from each corner on, in float32; zeros
    outside the map."""
    b, m, _ = first.shape
    flat = second.reshape(b, -1, second.shape[-1])

    def one(step: Int[Array, ""]) -> Float[Array, "b m"]:
        row, inside = _place(corners, step, side, second.shape[1:3])
        rows = group_points(flat, row).astype(jnp.float32)
        return jnp.where(inside, jnp.sum(first.astype(jnp.float32) * rows, axis=-1), 0)

    found = jax.lax.map(one, jnp.arange(side * side))
    return jnp.moveaxis(found, 0, -1).reshape(b, m, side, side)


def _keep(first: Array, second: Array, corners: Array, side: int) -> tuple[Array, tuple]:
    return window_products(first, second, corners, side), (first, second, corners)


def _pull(side: int, kept: tuple, cotangent: Float[Array, "b m s s"]) -> tuple:
    first, second, corners = kept
    b, m, channels = first.shape
    flat, wide = second.reshape(b, -1, channels), first.astype(jnp.float32)
    by_place = jnp.moveaxis(cotangent.reshape(b, m, -1), -1, 0)

    def add(totals: tuple[Array, Array], step: tuple[Array, Array]) -> tuple[tuple, None]:
        of_first, of_second = totals
        number, given = step
        row, inside = _place(corners, number, side, second.shape[1:3])
        given = jnp.where(inside, given, 0)[..., None]
        of_first = of_first + given * group_points(flat, row)
        of_second = jax.vmap(lambda t, i, v: t.at[i].add(v))(of_second, row, given * wide)
        return (of_first, of_second), None

    start = jnp.zeros(first.shape, jnp.float32), jnp.zeros(flat.shape, jnp.float32)
    (of_first, of_second), _ = jax.lax.scan(add, start, (jnp.arange(side * side), by_place))
    of_second = of_second.reshape(second.shape).astype(second.dtype)
    return of_first.astype(first.dtype), of_second, None


window_products.defvjp(_keep, _pull)


def _place(
    corners: Int[Array, "b m 2"], step: Int[Array, ""], side: int, size: tuple[int, ...]
) -> tuple[Int[Array, "b m"], Bool[Array, "b m"]]:
    """The pixel that is `step` places (x slow) into each window."""
    return pixels(corners[..., 0] + step // side, corners[..., 1] + step % side, (size[0], size[1]))
