"""The running-cell mask of VideoMAE V2's decoder (section 3.2): 1 = not decoded, 0 = decoded.

The encoder's masks are `jaxvision.ops.token_masks`.
"""

import numpy as np
from jaxtyping import Int

from jaxvision.errors import InputError
from jaxvision.ops.token_masks import Window


def running_cell_maps(window: Window, ratio: float) -> Int[np.ndarray, "4 thw"]:
    """The mask's four phases, of which each sample draws one.

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
