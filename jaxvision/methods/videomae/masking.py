"""The masks of VideoMAE: tube and random for the encoder, running cell for the decoder.

Convention of the paper's code: 1 = masked (hidden from the encoder, or not decoded), 0 = kept.
Every function takes its draw as an argument. Counts are static, so that masks become index arrays
of fixed length. Tokens lie row-major on a window (t, h, w).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxvision.errors import InputError

Window = tuple[int, int, int]


def visible_count(window: Window, ratio: float, kind: str) -> int:
    """Tokens an encoder mask keeps: (hw - int(ratio hw)) t for "tube", thw - int(ratio thw) for
    "random"."""
    t, h, w = window
    if kind == "tube":
        return (h * w - int(ratio * h * w)) * t
    if kind == "random":
        return t * h * w - int(ratio * t * h * w)
    raise InputError(f"encoder mask {kind!r}: expected 'tube' or 'random'")


def tube_mask(permutation: Int[Array, "b hw"], window: Window, ratio: float) -> Int[Array, "b thw"]:
    """The same int(ratio*hw) positions masked in every frame (section 3.1 of VideoMAE).

    `permutation` holds each of 0..hw-1 once per sample: where the shuffled position came from.
    """
    t, h, w = window
    frame = (permutation >= h * w - int(ratio * h * w)).astype(jnp.int32)
    return jnp.tile(frame, (1, t))


def random_mask(
    permutation: Int[Array, "b thw"], window: Window, ratio: float
) -> Int[Array, "b thw"]:
    """int(ratio*thw) positions masked anywhere."""
    tokens = int(np.prod(window))
    return (permutation >= tokens - int(ratio * tokens)).astype(jnp.int32)


def running_cell_maps(window: Window, ratio: float) -> Int[np.ndarray, "4 thw"]:
    """The four phases of the running-cell decoder mask (section 3.2).

    A queue of int(4*ratio) ones and zeros for the rest fills each 2x2 cell in row-major order,
    rolled by one more place in every tubelet row and phase. Raises InputError for odd h or w and
    for ratios that mask nothing or everything.
    """
    t, h, w = window
    ones = int(4 * ratio)
    if h % 2 or w % 2:
        raise InputError(f"running-cell mask: token window {h}x{w} must be even on both sides")
    if not 0 < ones < 4:
        raise InputError(f"decoder mask ratio {ratio}: expected at least 0.25 and below 1")
    queue = np.array([1] * ones + [0] * (4 - ones))
    phase, row, place = np.ogrid[:4, :t, :4]
    # The pointer has already advanced once before the first frame.
    cell = queue[(place + phase + row + 1) % 4].reshape(4, t, 2, 2)
    return np.tile(cell, (1, 1, h // 2, w // 2)).reshape(4, -1).astype(np.int32)


def kept_indices(mask: Int[Array, "b n"], count: int) -> Int[Array, "b count"]:
    """Positions where `mask` is 0, ascending; each row must hold exactly `count` of them."""
    return jnp.argsort(mask, axis=1, stable=True)[:, :count]
