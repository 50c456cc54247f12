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
