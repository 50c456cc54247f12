"""Resizing a table of positions to another grid or another number of frames."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# The coefficient of PyTorch's bicubic interpolation.
_BICUBIC = -0.75


def resize_table(
    table: Float[Array, "thw d"], old: tuple[int, int, int], new: tuple[int, int, int]
) -> Float[Array, "thw2 d"]:
    """A row-major table of a window `old` (t, h, w) for the window `new`: first in space, then in
    time. What has the right size already stays as it is, to the bit."""
    if old[1:] != new[1:]:
        table = resize_spatial(table, old, new[1:])
    return table if old[0] == new[0] else resize_temporal(table, old[0], new[0])


def resize_spatial(
    table: Float[Array, "thw d"], old: tuple[int, int, int], new: tuple[int, int]
) -> Float[Array, "thw2 d"]:
    """Each of the rows along time resized from (h, w) to `new` by bicubic interpolation.

    old: the table's (t, h, w), row-major. Half-pixel centres, no antialiasing, edges repeated:
    PyTorch's `interpolate(mode="bicubic", align_corners=False)`. (`jax.image.resize` has another
    coefficient, and antialiases.)
    """
    rows, columns = bicubic_matrix(old[1], new[0]), bicubic_matrix(old[2], new[1])
    grid = jnp.asarray(table).reshape(*old, -1)
    grid = jnp.einsum("ab,tbwd->tawd", rows, grid, precision="highest")
    grid = jnp.einsum("ab,thbd->thad", columns, grid, precision="highest")
    return grid.reshape(-1, table.shape[-1]).astype(table.dtype)


def resize_temporal(table: Float[Array, "thw d"], old: int, new: int) -> Float[Array, "thw2 d"]:
    """Each place resized from `old` to `new` rows along time, linearly, half-pixel centres."""
    grid = jnp.asarray(table).reshape(old, -1)
    resized = jnp.matmul(linear_matrix(old, new), grid, precision="highest")
    return resized.reshape(-1, table.shape[-1]).astype(table.dtype)


def linear_matrix(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Linear interpolation between `old` samples at the centres of `new`, edges repeated."""
    source = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0)
    low = np.floor(source).astype(int)
    matrix = np.zeros((new, old))
    rows = np.arange(new)
    np.add.at(matrix, (rows, np.minimum(low, old - 1)), 1 - (source - low))
    np.add.at(matrix, (rows, np.minimum(low + 1, old - 1)), source - low)
    return matrix


def bicubic_matrix(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Bicubic convolution (a = -0.75) of `old` samples at the centres of `new`, edges repeated."""
    source = (np.arange(new) + 0.5) * old / new - 0.5
    low = np.floor(source).astype(int)
    matrix = np.zeros((new, old))
    for tap in range(-1, 3):
        weight = _cubic(np.abs(source - low - tap))
        np.add.at(matrix, (np.arange(new), np.clip(low + tap, 0, old - 1)), weight)
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    near = ((_BICUBIC + 2) * x - (_BICUBIC + 3)) * x * x + 1
    far = ((_BICUBIC * x - 5 * _BICUBIC) * x + 8 * _BICUBIC) * x - 4 * _BICUBIC
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
