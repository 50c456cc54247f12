"""Reading images between their pixels: bilinear sampling, backward warping, resizing.

Images are channels-last. A coordinate counts pixels from the centre of the first one, so that
coordinate 3 is pixel 3 itself (PyTorch's `align_corners=True`, without its normalised grid).
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision.ops.position_tables import bicubic_matrix

Padding = Literal["border", "zeros"]


def grid_sample(
    image: Float[Array, "b h w c"],
    x: Float[Array, "b *points"],
    y: Float[Array, "b *points"],
    padding: Padding = "border",
) -> Float[Array, "b *points c"]:
    """Bilinear samples of `image` at pixel coordinates (x to the right, y down).

    padding: outside the image, "border" repeats the nearest edge pixel and passes no gradient to a
        coordinate at or beyond the edge; "zeros" blends with black. The result has the image's
        dtype; coordinates and weights stay float32, since bfloat16 cannot count to a thousand.
    """
    height, width, channels = image.shape[1:]
    points = x.shape[1:]
    x = x.reshape(x.shape[0], -1).astype(jnp.float32)
    y = y.reshape(y.shape[0], -1).astype(jnp.float32)
    if padding == "border":
        x, y = _clamp(x, width - 1), _clamp(y, height - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    right_share, bottom_share = x - left, y - top
    left, top = left.astype(jnp.int32), top.astype(jnp.int32)
    flat = image.reshape(image.shape[0], height * width, channels)

    def corner(row: Array, column: Array, weight: Array) -> Array:
        if padding == "zeros":
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = jnp.where(inside, weight, 0)
        row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
        return _rows(flat, row * width + column) * weight[..., None]

    sampled = (
        corner(top, left, (1 - bottom_share) * (1 - right_share))
        + corner(top, left + 1, (1 - bottom_share) * right_share)
        + corner(top + 1, left, bottom_share * (1 - right_share))
        + corner(top + 1, left + 1, bottom_share * right_share)
    )
    return sampled.astype(image.dtype).reshape(image.shape[0], *points, channels)


def _clamp(coordinate: Float[Array, "b n"], limit: int) -> Float[Array, "b n"]:
    """Into [0, limit]; the gradient is 0 at and beyond both ends, as in PyTorch's border mode."""
    inside = (coordinate > 0) & (coordinate < limit)
    return jnp.where(inside, coordinate, jax.lax.stop_gradient(jnp.clip(coordinate, 0, limit)))


def _rows(flat: Float[Array, "b n c"], index: Int[Array, "b m"]) -> Float[Array, "b m c"]:
    return jax.vmap(lambda rows, i: jnp.take(rows, i, axis=0, mode="clip"))(flat, index)


def warp(
    image: Float[Array, "b h w c"],
    flow: Float[Array, "b h2 w2 2"],
    padding: Padding = "border",
    top: Int[Array, ""] | int = 0,
    left: Int[Array, ""] | int = 0,
) -> Float[Array, "b h2 w2 c"]:
    """Backward warp: out(x, y) = image(x + u, y + v), flow = (u, v) in pixels.

    A flow smaller than the image is that of the part whose corner is (top, left): that part of the
    warped image is the result, read from the whole image.
    """
    height, width = flow.shape[1:3]
    flow = flow.astype(jnp.float32)
    x = (left + jnp.arange(width, dtype=jnp.float32))[None, None, :] + flow[..., 0]
    y = (top + jnp.arange(height, dtype=jnp.float32))[None, :, None] + flow[..., 1]
    return grid_sample(image, x, y, padding)


def resize_bilinear(x: Float[Array, "b h w c"], factor: float) -> Float[Array, "b h2 w2 c"]:
    """Resize by `factor` with half-pixel centres, no antialiasing and clamped edges.

    The new side is floor(side * factor). Whole enlargements and even whole reductions of sides that
    divide, the ones networks use, are a few shifted copies instead of a gather.
    """
    if factor == 1:
        return x
    for axis in (1, 2):
        x = _resize_axis(x, axis, factor)
    return x


def resize_aligned(
    x: Float[Array, "*b h w c"], size: tuple[int, int]
) -> Float[Array, "*b h2 w2 c"]:
    """Bilinear resize to `size` (height, width) with the corners' centres kept in place (PyTorch's
    `align_corners=True`); a side of 1 reads the first pixel."""
    rows, columns = (
        _aligned_matrix(old, new) for old, new in zip(x.shape[-3:-1], size, strict=True)
    )
    x = jnp.einsum("ah,...hwc->...awc", rows.astype(x.dtype), x, precision="highest")
    return jnp.einsum("bw,...awc->...abc", columns.astype(x.dtype), x, precision="highest")


def resize_flow(flow: Float[Array, "b h w 2"], size: tuple[int, int]) -> Float[Array, "b h2 w2 2"]:
    """A flow (u, v) in pixels at another `size` (height, width): resized by `resize_aligned`, and
    scaled by the ratio of the sides."""
    height, width = flow.shape[1:3]
    scale = jnp.array([size[1] / width, size[0] / height], flow.dtype)
    return resize_aligned(flow, size) * scale


def _aligned_matrix(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """What each old pixel along an axis counts for in each new one."""
    place = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
    hats = np.maximum(1 - np.abs(place[:, None] - np.arange(old)), 0)
    return hats.astype(np.float32)


def resize_bicubic(
    x: Float[Array, "*b h w c"], size: tuple[int, int]
) -> Float[Array, "*b h2 w2 c"]:
    """Resize to `size` (height, width): PyTorch's bicubic interpolation with half-pixel centres, no
    antialiasing and repeated edges. Values may leave the range of the pixels."""
    rows, columns = (
        bicubic_matrix(old, new) for old, new in zip(x.shape[-3:-1], size, strict=True)
    )
    x = jnp.einsum("ah,...hwc->...awc", rows.astype(x.dtype), x, precision="highest")
    return jnp.einsum("bw,...awc->...abc", columns.astype(x.dtype), x, precision="highest")


def _resize_axis(x: Array, axis: int, factor: float) -> Array:
    size, up, down = x.shape[axis], round(factor), round(1 / factor)
    if factor == up:
        return _enlarge(x, axis, up)
    if factor == 1 / down and down % 2 == 0 and size % down == 0:
        # A new pixel's centre lies midway between two old ones.
        first = jax.lax.slice_in_dim(x, down // 2 - 1, size, down, axis)
        second = jax.lax.slice_in_dim(x, down // 2, size, down, axis)
        return (first + second) * 0.5
    shape = list(x.shape)
    shape[axis] = int(size * factor)
    return jax.image.resize(x, shape, "linear", antialias=False)


def _enlarge(x: Array, axis: int, factor: int) -> Array:
    size = x.shape[axis]
    first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(x, size - 1, size, axis=axis)
    before = jnp.concatenate([first, jax.lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis)
    after = jnp.concatenate([jax.lax.slice_in_dim(x, 1, size, axis=axis), last], axis)
    phases = []
    for phase in range(factor):
        offset = (phase + 0.5) / factor - 0.5
        neighbour = before if offset < 0 else after
        phases.append(x * (1 - abs(offset)) + neighbour * abs(offset))
    shape = [*x.shape[:axis], size * factor, *x.shape[axis + 1 :]]
    return jnp.stack(phases, axis + 1).reshape(shape)
