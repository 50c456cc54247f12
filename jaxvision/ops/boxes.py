"""Boxes of people on the device: their forms, their overlaps, and how detectors move them.

Coordinates are x1, y1, x2, y2 in pixels with x2 - x1 as width. (Annotated boxes with inclusive
borders, as AlphAction and CycleACR count, are data's: `data/actions/pixel_boxes.py`.) Functions of
two boxes broadcast; `every_pair` gives all pairs. Inverted boxes have area 0. Divisions are guarded
before they are made, so degenerate boxes have finite values and gradients everywhere.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

Boxes = Float[Array, "*n 4"]
# Smallest divisor, in square pixels (mmdetection's, which AdaMixer and STMixer use).
SMALLEST_AREA = 1e-6


def from_centre_and_sides(boxes: Boxes) -> Boxes:
    """x1, y1, x2, y2 of centre x, centre y, width, height (DETR 2005.12872)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def to_centre_and_sides(boxes: Boxes) -> Boxes:
    """Centre x, centre y, width, height."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return jnp.concatenate([(first + last) / 2, last - first], axis=-1)


def from_scale_and_ratio(boxes: Boxes) -> Boxes:
    """x1, y1, x2, y2 of centre x, centre y, z = log2 sqrt(w h), r = log2(h / w) (AdaMixer
    2203.16507, section 3.2; STMixer 2303.15879, section 3.2)."""
    centre, z, r = boxes[..., :2], boxes[..., 2], boxes[..., 3]
    half = jnp.stack([2 ** (z - r / 2), 2 ** (z + r / 2)], axis=-1) / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def to_scale_and_ratio(boxes: Boxes) -> Boxes:
    """Centre x, centre y, z, r of boxes whose sides are above 0."""
    x, y, w, h = jnp.moveaxis(to_centre_and_sides(boxes), -1, 0)
    width, height = jnp.log2(w), jnp.log2(h)
    return jnp.stack([x, y, (width + height) / 2, height - width], axis=-1)


def moved_by_scale(boxes: Boxes, deltas: Boxes) -> Boxes:
    """Boxes (centre x, centre y, z, r) moved by `deltas`: the centre in units of 2^z on both axes
    (not of the box's own width and height), z and r added to (STMixer's refinement)."""
    centre = boxes[..., :2] + deltas[..., :2] * 2 ** boxes[..., 2:3]
    return jnp.concatenate([centre, boxes[..., 2:] + deltas[..., 2:]], axis=-1)


def clipped(boxes: Boxes, sizes: Float[Array, "*n 2"]) -> Boxes:
    """Boxes within pixels 0 to side - 1 of frames of `sizes` (width, height), as STMixer clips."""
    last = jnp.concatenate([sizes, sizes], axis=-1) - 1
    return jnp.clip(boxes, 0, last)


def area(boxes: Boxes) -> Float[Array, "*n"]:
    """Width times height."""
    return _product_of_sides(boxes[..., :2], boxes[..., 2:])


def _product_of_sides(first: Float[Array, "*n 2"], last: Float[Array, "*n 2"]) -> Array:
    return jnp.prod(jnp.maximum(last - first, 0), axis=-1)


def intersection(a: Boxes, b: Boxes) -> Float[Array, "*n"]:
    """The area that two boxes share."""
    first = jnp.maximum(a[..., :2], b[..., :2])
    return _product_of_sides(first, jnp.minimum(a[..., 2:], b[..., 2:]))


def _enclosing_area(a: Boxes, b: Boxes) -> Float[Array, "*n"]:
    first = jnp.minimum(a[..., :2], b[..., :2])
    return _product_of_sides(first, jnp.maximum(a[..., 2:], b[..., 2:]))


def iou(a: Boxes, b: Boxes) -> Float[Array, "*n"]:
    """Intersection over union, 0 to 1; 0 where neither box has an area."""
    common = intersection(a, b)
    return common / jnp.maximum(area(a) + area(b) - common, SMALLEST_AREA)


def share_inside(a: Boxes, b: Boxes) -> Float[Array, "*n"]:
    """The share of box a that lies in box b, 0 to 1 ("intersection over foreground", AdaMixer)."""
    return intersection(a, b) / jnp.maximum(area(a), SMALLEST_AREA)


def giou(a: Boxes, b: Boxes) -> Float[Array, "*n"]:
    """Generalised IoU, -1 to 1 (1902.09630): the IoU less the share of the smallest enclosing box
    that neither box covers."""
    common = intersection(a, b)
    union = area(a) + area(b) - common
    enclosing = _enclosing_area(a, b)
    empty = (enclosing - union) / jnp.maximum(enclosing, SMALLEST_AREA)
    return common / jnp.maximum(union, SMALLEST_AREA) - empty


def every_pair(
    measure: Callable[[Array, Array], Array], a: Float[Array, "*b n 4"], b: Float[Array, "*b m 4"]
) -> Float[Array, "*b n m"]:
    """`measure` (`iou`, `giou`, ...) of every box of a with every box of b."""
    return measure(a[..., :, None, :], b[..., None, :, :])


def sinusoids(boxes: Boxes, width: int, temperature: float = 10_000.0) -> Float[Array, "*n width"]:
    """Sines and cosines of the four coordinates, one coordinate after the other, a sine and its
    cosine side by side; float32 (AdaMixer, section 3.3).

    width: a multiple of 8. Pair k of a coordinate v has the angle v / temperature^(8 k / width).
    """
    pairs = jnp.arange(width // 8, dtype=jnp.float32)
    angle = boxes.astype(jnp.float32)[..., None] / temperature ** (8 * pairs / width)
    code = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    return code.reshape(*boxes.shape[:-1], width)
