"""Overlap of upright boxes seen from above, and greedy suppression at static shapes.

The overlap is that of the published CUDA kernel (iou3d_nms): crossings of the edges, and corners
inside the other box by a margin of 1 cm, ordered around their mean. Nearly touching boxes therefore
overlap by a little more than their exact area.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

MARGIN = 1e-2
Rectangles = Float[Array, "*n 5"]


def rectangles(boxes: Float[Array, "*n d"]) -> Rectangles:
    """x, y, length, width, heading of boxes x, y, z, w, l, h, ..., yaw in the detector's frame."""
    parts = [boxes[..., 0], boxes[..., 1], boxes[..., 4], boxes[..., 3]]
    return jnp.stack([*parts, -boxes[..., -1] - jnp.pi / 2], axis=-1)


def _corners(box: Rectangles) -> Float[Array, "*n 4 2"]:
    signs = jnp.asarray([(-1, -1), (1, -1), (1, 1), (-1, 1)], jnp.float32) / 2
    local = signs * box[..., None, 2:4]
    c, s = jnp.cos(box[..., 4])[..., None], jnp.sin(box[..., 4])[..., None]
    x, y = local[..., 0], local[..., 1]
    turned = jnp.stack([x * c - y * s, x * s + y * c], axis=-1)
    return turned + box[..., None, :2]


def _inside(points: Float[Array, "*n 4 2"], box: Rectangles) -> Bool[Array, "*n 4"]:
    offset = points - box[..., None, :2]
    c, s = jnp.cos(box[..., 4])[..., None], jnp.sin(box[..., 4])[..., None]
    along = offset[..., 0] * c + offset[..., 1] * s
    across = offset[..., 1] * c - offset[..., 0] * s
    half = box[..., None, 2:4] / 2 + MARGIN
    return (jnp.abs(along) < half[..., 0]) & (jnp.abs(across) < half[..., 1])


def _cross(a: Array, b: Array) -> Array:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def overlap(first: Rectangles, second: Rectangles) -> Float[Array, "*n"]:
    """Area common to each pair (m^2). Rectangles broadcast: x, y, length, width, heading."""
    # 1. Both boxes' corners, around the first box: scenes far from the origin lose no digits.
    first, second = jnp.broadcast_arrays(first.astype(jnp.float32), second.astype(jnp.float32))
    second = second.at[..., :2].add(-first[..., :2])
    first = first.at[..., :2].set(0)
    a, b = _corners(first), _corners(second)
    # 2. Where edges cross: p and q are an edge's start in each box, every pair of edges.
    p, q = a[..., :, None, :], b[..., None, :, :]
    along_p = jnp.roll(a, -1, axis=-2)[..., :, None, :] - p
    along_q = jnp.roll(b, -1, axis=-2)[..., None, :, :] - q
    low, high = _cross(along_p, q - p), _cross(along_p, q + along_q - p)
    left, right = _cross(along_q, p - q), _cross(along_q, p + along_p - q)
    crossing = (low * high < 0) & (left * right < 0)
    share = left / jnp.where(crossing, left - right, 1)
    met = p + share[..., None] * along_p
    # 3. The common area's corners: these crossings, and corners inside the other box.
    shape = met.shape[:-3]
    points = jnp.concatenate([met.reshape(*shape, 16, 2), a, b], axis=-2)
    exists = jnp.concatenate(
        [crossing.reshape(*shape, 16), _inside(a, second), _inside(b, first)], axis=-1
    )
    # 4. In order around their mean, missing ones last.
    count = jnp.sum(exists, axis=-1)
    kept = jnp.where(exists[..., None], points, 0)
    centre = jnp.sum(kept, axis=-2) / jnp.maximum(count, 1)[..., None]
    offset = jnp.where(exists[..., None], points - centre[..., None, :], 0)
    angle = jnp.where(exists, jnp.arctan2(offset[..., 1], offset[..., 0]), jnp.inf)
    order = jnp.argsort(angle, axis=-1)
    ring = jnp.take_along_axis(offset, order[..., None], axis=-2)
    # 5. The polygon's area. A missing point at the first one's place adds nothing.
    there = jnp.arange(ring.shape[-2]) < count[..., None]
    ring = jnp.where(there[..., None], ring, ring[..., :1, :])
    return jnp.abs(jnp.sum(_cross(ring, jnp.roll(ring, -1, axis=-2)), axis=-1)) / 2


def rotated_iou(first: Rectangles, second: Rectangles) -> Float[Array, "*n"]:
    """Intersection over union of each pair, seen from above."""
    common = overlap(first, second)
    areas = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3]
    return common / jnp.maximum(areas - common, 1e-8)


def greedy_suppression(
    candidates: Bool[Array, " n"],
    suppressed_by: Callable[[Int[Array, ""]], Bool[Array, " n"]],
    max_kept: int,
) -> tuple[Int[Array, " max_kept"], Int[Array, ""]]:
    """Rows that survive, first come first kept, and how many; rows beyond the count are n.

    candidates: rows in descending score.  suppressed_by(row): what a kept row removes.
    Stops when `max_kept` are kept: as many rows of overlaps are computed as boxes are kept.
    """
    rows = candidates.shape[0]

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        alive, _, count = state
        return jnp.any(alive) & (count < max_kept)

    def keep_best(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        alive, kept, count = state
        row = jnp.argmax(alive)  # the first that is left
        alive = (alive & ~suppressed_by(row)).at[row].set(False)
        return alive, kept.at[count].set(row), count + 1

    start = (candidates, jnp.full((max_kept,), rows, jnp.int32), jnp.zeros((), jnp.int32))
    _, kept, count = jax.lax.while_loop(unfinished, keep_best, start)
    return kept, count


def rotated_nms(
    boxes: Rectangles, candidates: Bool[Array, " n"], threshold: float | Array, max_kept: int
) -> tuple[Int[Array, " max_kept"], Int[Array, ""]]:
    """Suppress what overlaps a kept box by more than `threshold`; boxes in descending score."""
    return greedy_suppression(
        candidates, lambda row: rotated_iou(boxes[row], boxes) > threshold, max_kept
    )


def circle_nms(
    centres: Float[Array, "n 2"],
    candidates: Bool[Array, " n"],
    squared: float | Array,
    max_kept: int,
) -> tuple[Int[Array, " max_kept"], Int[Array, ""]]:
    """Suppress centres whose squared distance from a kept one is at most `squared` (m^2)."""
    return greedy_suppression(
        candidates,
        lambda row: jnp.sum(jnp.square(centres - centres[row]), axis=-1) <= squared,
        max_kept,
    )
