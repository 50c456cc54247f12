"""Fixed position tables."""

import functools

import numpy as np
from jaxtyping import Float


@functools.lru_cache(maxsize=8)
def sincos_1d(num_positions: int, dim: int) -> Float[np.ndarray, "n d"]:
    """Sinusoids over a flat index: even channels sine, odd channels cosine (interleaved).

    angle(n, j) = n / 10000^(2*floor(j/2)/dim), computed in float64 and returned in float32
    (Attention Is All You Need, section 3.5; VideoMAE uses it over the flattened (t, h, w) index).
    """
    channel = np.arange(dim) // 2
    angle = np.arange(num_positions)[:, None] / np.power(10000.0, 2 * channel / dim)
    table = np.where(np.arange(dim) % 2 == 0, np.sin(angle), np.cos(angle))
    return table.astype(np.float32)


@functools.lru_cache(maxsize=8)
def sincos_2d(side: int, dim: int) -> Float[np.ndarray, "n d"]:
    """Sinusoids over a square grid, row-major: the first half of the channels encodes the column,
    the second the row; in each half all sines, then all cosines (MAE's table).

    angle(p, j) = p / 10000^(j/(dim/4)), computed in float64 and returned in float32.
    """
    angle = np.arange(side)[:, None] / 10000.0 ** (np.arange(dim // 4) / (dim / 4))
    along = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    row, column = np.divmod(np.arange(side * side), side)
    return np.concatenate([along[column], along[row]], axis=1).astype(np.float32)
