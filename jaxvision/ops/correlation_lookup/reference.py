"""Products of each pixel's features with a window of another map, one place of the window at a
time: the definition of right, on any device."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvision.ops.grouping import group_points

# Gradients by places of the second map in memory at once: 8 MB of float32.
BLOCK = 1 << 21


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
        # A product of vectors: XLA is slow on a CPU to sum over the last axis.
        mine = first.astype(jnp.float32)
        return jnp.where(inside, jnp.einsum("bmc,bmc->bm", mine, rows, precision="highest"), 0)

    found = jax.lax.map(one, jnp.arange(side * side))
    return jnp.moveaxis(found, 0, -1).reshape(b, m, side, side)


def _keep(first: Array, second: Array, corners: Array, side: int) -> tuple[Array, tuple]:
    return window_products(first, second, corners, side), (first, second, corners)


def _pull(side: int, kept: tuple, cotangent: Float[Array, "b m s s"]) -> tuple:
    """Products with the gradient of a block of pixels by all places of the second map, which is
    spread there by a gather: a scatter of rows is a loop on a CPU."""
    first, second, corners = kept
    b, m, channels = first.shape
    height, width = second.shape[1:3]
    flat = second.reshape(b, height * width, channels).astype(jnp.float32)
    # 1. Blocks of pixels; what pads the last has no gradient.
    rows = min(m, max(1, BLOCK // (b * height * width)))
    blocks = -(-m // rows)

    def in_blocks(array: Array) -> Array:
        padded = jnp.pad(array, ((0, 0), (0, blocks * rows - m), (0, 0)))
        return jnp.moveaxis(padded.reshape(b, blocks, rows, -1), 1, 0)

    given = cotangent.astype(jnp.float32).reshape(b, m, side * side)
    steps = in_blocks(first.astype(jnp.float32)), in_blocks(corners), in_blocks(given)
    pixel = jnp.arange(height * width)

    # 2. Both products of a block.
    def add(of_second: Array, step: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        mine, corner, values = step
        x, y = pixel % width - corner[..., :1], pixel // width - corner[..., 1:]
        inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        spread = jnp.take_along_axis(values, jnp.where(inside, x * side + y, 0), axis=2)
        spread = jnp.where(inside, spread, 0)
        of_second += jnp.einsum("bmp,bmc->bpc", spread, mine, precision="highest")
        return of_second, jnp.einsum("bmp,bpc->bmc", spread, flat, precision="highest")

    of_second, of_first = jax.lax.scan(add, jnp.zeros(flat.shape, jnp.float32), steps)
    of_first = jnp.moveaxis(of_first, 0, 1).reshape(b, -1, channels)[:, :m]
    of_second = of_second.reshape(second.shape)
    return of_first.astype(first.dtype), of_second.astype(second.dtype), None


window_products.defvjp(_keep, _pull)


def _place(
    corners: Int[Array, "b m 2"], step: Int[Array, ""], side: int, size: tuple[int, ...]
) -> tuple[Int[Array, "b m"], Bool[Array, "b m"]]:
    """The pixel that is `step` places (x slow) into each window."""
    return pixels(corners[..., 0] + step // side, corners[..., 1] + step % side, (size[0], size[1]))
