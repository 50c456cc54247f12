"""Points of boxes in a pyramid of feature maps, each at its own height between the levels
(AdaMixer 2203.16507, section 3.2; STMixer 2303.15879, section 3.2)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def pyramid_points(
    boxes: Float[Array, "b n 4"], offsets: Float[Array, "b n p 3"], finest: float = 3.0
) -> tuple[Float[Array, "b n p 2"], Float[Array, "b n p"]]:
    """((x, y) in pixels of the picture, the level between 0 and levels - 1) of each point.

    boxes: (cx, cy, z, r) in pixels, side lengths 2^(z - r/2) and 2^(z + r/2).  offsets: (dx, dy) in
    the box's sides, and octaves.  finest: the z that belongs to level 0.
    """
    centre, z, r = boxes[..., None, :2], boxes[..., 2], boxes[..., 3]
    sides = jnp.stack([2 ** (z - r / 2), 2 ** (z + r / 2)], axis=-1)
    points = centre + offsets[..., :2] * sides[..., None, :]
    return points, z[..., None] + offsets[..., 2] - finest


def level_weights(
    level: Float[Array, "*n"], levels: int, temperature: float = 2.0
) -> Float[Array, "*n levels"]:
    """softmax over k of -(level - k)^2 / temperature."""
    distance = level[..., None] - jnp.arange(levels, dtype=level.dtype)
    return jax.nn.softmax(-jnp.square(distance) / temperature, axis=-1)


def fractions(
    points: Float[Array, "b n p 2"], shape: tuple[int, ...], stride: int
) -> Float[Array, "b n p 2"]:
    """Points in pixels as fractions of a map [b, (t,) h, w, c] of that stride."""
    height, width = shape[-3:-1]
    return points / jnp.array([width * stride, height * stride], points.dtype)
