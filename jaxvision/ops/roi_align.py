"""RoIAlign (1703.06870, section 3): features of boxes, resampled to a grid of bins.

A bin is the mean of bilinear samples on a regular grid in it, so it is separable: each axis is a
matrix [bins, cells] of averaged hat weights, and a box's features are two products. Shapes are
static however many samples a bin has, and the gradient is the transposed products, without scatter.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

HIGHEST = jax.lax.Precision.HIGHEST


def roi_align(
    features: Float[Array, "b h w c"],
    boxes: Float[Array, "b n 4"],
    bins: tuple[int, int],
    scale: float,
    samples: int | None = None,
    *,
    aligned: bool = False,
) -> Float[Array, "b n p q c"]:
    """Features of `bins` (rows, columns) in each box. Boxes get no gradient.

    boxes: finite x1, y1, x2, y2 in pixels.  scale: cells per pixel.
    samples: per bin and axis; None: as many as a bin has cells, rounded up (torchvision's 0 or -1).
    aligned: pixel centres are at half coordinates, and boxes may be thinner than a cell. Without
        it (Fast R-CNN's coordinates; CycleACR, AlphAction) a box has at least a cell's side.
    """
    boxes = jax.lax.stop_gradient(boxes.astype(jnp.float32)) * scale - (0.5 if aligned else 0)
    height, width = features.shape[1:3]
    rows = axis_matrix(boxes[..., 1::2], bins[0], height, samples, aligned)
    columns = axis_matrix(boxes[..., 0::2], bins[1], width, samples, aligned)
    by_row = jnp.einsum(
        "bnph,bhwc->bnpwc", rows.astype(features.dtype), features, precision=HIGHEST
    )
    return jnp.einsum(
        "bnqw,bnpwc->bnpqc", columns.astype(features.dtype), by_row, precision=HIGHEST
    )


def axis_matrix(
    ends: Float[Array, "*n 2"], bins: int, cells: int, samples: int | None, aligned: bool
) -> Float[Array, "*n bins cells"]:
    """The weight of each cell in each bin between `ends` (in cells) on one axis."""
    # 1. The box's length and how many samples a bin has.
    start, length = ends[..., 0], ends[..., 1] - ends[..., 0]
    if not aligned:
        length = jnp.maximum(length, 1)
    count = jnp.ceil(length / bins) if samples is None else jnp.full_like(length, samples)
    first = start[..., None] + jnp.arange(bins) * (length / bins)[..., None]
    step = (length / bins / jnp.maximum(count, 1))[..., None]
    cell = jnp.arange(cells, dtype=jnp.float32)

    # 2. One sample of every bin at a time: where its hat stands, 0 beyond a cell around the map.
    def add(i: Array, total: Array) -> Array:
        place = first + (i + 0.5) * step
        counts = (place >= -1) & (place <= cells) & (i < count)[..., None]
        place = jnp.clip(place, 0, cells - 1)[..., None]
        hat = jnp.maximum(1 - jnp.abs(place - cell), 0)
        return total + jnp.where(counts[..., None], hat, 0)

    most = jnp.max(count, initial=0).astype(jnp.int32) if samples is None else samples
    total = jax.lax.fori_loop(0, most, add, jnp.zeros((*first.shape, cells), jnp.float32))
    # 3. The mean, in which samples beyond the map count.
    return total / jnp.maximum(count, 1)[..., None, None]
