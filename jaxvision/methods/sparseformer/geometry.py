"""Boxes of tokens, and the points they sample at (sections 3.1 and 3.2).

A box is (x1, y1, x2, y2), or (x1, y1, t1, x2, y2, t2) in a clip, in fractions of the picture: 0 and
1 are its outer edges, and a box may leave it. All of it is float32: half precision would lose
parts of a pixel.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

MAX_TEMPERATURE = 128


def adjust_boxes(
    boxes: Float[Array, "*n d2"], adjustment: Float[Array, "*n d2"]
) -> Float[Array, "*n d2"]:
    """Boxes moved by shares of their size and scaled by exp of the second half of `adjustment`."""
    low, high = jnp.split(boxes.astype(jnp.float32), 2, axis=-1)
    shift, log_scale = jnp.split(adjustment.astype(jnp.float32), 2, axis=-1)
    size = jnp.abs(high - low)
    centre = (low + high) / 2 + shift * size
    half = size * jnp.exp(log_scale) / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def sampling_points(
    boxes: Float[Array, "b n d2"], offsets: Float[Array, "b n pd"], epsilon: float
) -> Float[Array, "b n p d"]:
    """Points of each box: offsets standardised over the points, three deviations to a box side.

    offsets: P tuples (x, y[, t]).  epsilon: added to the deviation, which is the unbiased one.
    """
    low, high = jnp.split(boxes.astype(jnp.float32), 2, axis=-1)
    offsets = offsets.astype(jnp.float32).reshape(*offsets.shape[:2], -1, low.shape[-1])
    centred = offsets - jnp.mean(offsets, axis=2, keepdims=True)
    count = max(offsets.shape[2] - 1, 1)
    variance = jnp.sum(jnp.square(centred), axis=2, keepdims=True) / count
    # The gradient of a deviation that is 0 is 0 (clips whose time offsets were inflated).
    spread = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
    normal = centred / (3 * (spread + epsilon))
    return ((low + high) / 2)[:, :, None] + normal * (high - low)[:, :, None]


@jax.custom_vjp
def clamp_gradient(
    points: Float[Array, "*n d"], bound: Float[Array, ""] | float
) -> Float[Array, "*n d"]:
    """The points themselves; their gradient is clamped to +-bound element by element."""
    return points


clamp_gradient.defvjp(
    lambda points, bound: (points, bound),
    lambda bound, gradient: (jnp.clip(gradient, -bound, bound), jnp.zeros_like(bound)),
)


def box_position_encoding(
    boxes: Float[Array, "b n 4"], width: int, dimensions: int = 2
) -> Float[Array, "b n width"]:
    """Sines and cosines of the four coordinates, without gradient; zeros for clips' boxes.

    Each coordinate has width/4 frequencies pi * exp(linspace(0, ln 128)): sines of the even ones,
    then cosines of the odd ones.
    """
    if dimensions == 3:
        return jnp.zeros((*boxes.shape[:-1], width), jnp.float32)
    frequencies = np.pi * np.exp(np.linspace(0, math.log(MAX_TEMPERATURE), width // 4))
    boxes = jax.lax.stop_gradient(boxes.astype(jnp.float32))
    angles = boxes[..., None] * frequencies.astype(np.float32)
    encoded = jnp.concatenate([jnp.sin(angles[..., ::2]), jnp.cos(angles[..., 1::2])], axis=-1)
    return encoded.reshape(*boxes.shape[:-1], width)


def initial_boxes(tokens: int) -> Float[np.ndarray, "n 4"]:
    """A square grid of boxes of half the picture's sides (x is the slow index); whole pictures for
    the tokens that are left over."""
    root = math.isqrt(tokens)
    places = 0.5 * np.linspace(0, 1, root)
    corner = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)
    whole = np.tile([0.0, 0.0, 1.0, 1.0], (tokens - root * root, 1))
    grid = np.concatenate([corner, corner + 0.5], axis=1)
    return np.concatenate([grid, whole]).astype(np.float32)


def initial_offsets(points: int) -> Float[np.ndarray, " p2"] | None:
    """(x, y) pairs of a square grid over the box, x fastest; None where P is no square."""
    root = math.isqrt(points)
    if root * root != points:
        return None
    places = (np.arange(root) + 0.5) / root - 0.5
    y, x = np.meshgrid(places, places, indexing="ij")
    return np.stack([x, y], axis=-1).reshape(-1).astype(np.float32)
