"""The correlations of all pairs, and windows read from them."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.correlation_lookup.reference import pixels


def halved(maps: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Means of 2 x 2 pixels; an odd last row or column is dropped."""
    b, height, width, channels = maps.shape
    even = maps[:, : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(b, height // 2, 2, width // 2, 2, channels)
    return jnp.mean(blocks, axis=(2, 4), dtype=jnp.float32).astype(maps.dtype)


def all_pairs(
    first: Float[Array, "b h w c"], second: Float[Array, "b h2 w2 c"], levels: int
) -> tuple[Float[Array, "b pixels hi wi"], ...]:
    """Dot products of every pair of pixels in float32, and their means over the second map's."""
    volume = jnp.einsum(
        "bhwc,byxc->bhwyx", first, second, precision="highest", preferred_element_type=jnp.float32
    )
    b, height, width = first.shape[:3]
    found = [volume.reshape(b, height * width, *second.shape[1:3])]
    for _ in range(levels - 1):
        last = found[-1]
        pooled = halved(last.reshape(-1, *last.shape[2:], 1))
        found.append(pooled.reshape(b, height * width, *pooled.shape[1:3]))
    return tuple(found)


def window_values(
    volume: Float[Array, "b m h w"], corners: Int[Array, "b m 2"], side: int
) -> Float[Array, "b m s s"]:
    """volume at the window [x, y] from each corner on; zeros outside."""
    b, m, height, width = volume.shape
    steps = jnp.arange(side, dtype=jnp.int32)
    x, y = corners[..., :1] + steps, corners[..., 1:] + steps
    row, inside = pixels(x[..., :, None], y[..., None, :], (height, width))
    flat = volume.reshape(b, m, height * width)
    values = jnp.take_along_axis(flat, row.reshape(b, m, -1), axis=2, mode="clip")
    return jnp.where(inside, values.reshape(row.shape), 0)
