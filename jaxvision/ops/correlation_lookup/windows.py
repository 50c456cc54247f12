"""Windows between pixels: whole pixels are read, one more than asked for on each axis, and blended.

All points of a window lie equally far from the pixels around them, so that interpolation is four
weights a window; what is read at whole pixels needs no gradient by the place.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def window_corners(
    places: Float[Array, "b m 2"], size: tuple[int, int], radius: int
) -> tuple[Int[Array, "b m 2"], Float[Array, "b m 2"]]:
    """(first pixel (x, y) of the window, share of the next pixel on each axis) of each place.

    size: (height, width). A window that misses the map, or is nowhere, is moved to one just
    outside it.
    """
    height, width = size
    outside = -2.0 * (radius + 1)
    places = jnp.where(jnp.isfinite(places), places, outside)
    most = jnp.array([width, height], jnp.float32) + 2 * radius
    places = jnp.clip(places, outside, most)
    low = jnp.floor(places)
    return low.astype(jnp.int32) - radius, places - low


def blend(
    windows: Float[Array, "b m s s"], shares: Float[Array, "b m 2"]
) -> Float[Array, "b m channels"]:
    """Windows [.., x, y] at whole pixels, interpolated: (s - 1)**2 values, x slow."""
    x, y = shares[..., :1, None], shares[..., 1:, None]
    windows = windows[..., :-1, :] * (1 - x) + windows[..., 1:, :] * x
    windows = windows[..., :-1] * (1 - y) + windows[..., 1:] * y
    return windows.reshape(*windows.shape[:2], -1)
