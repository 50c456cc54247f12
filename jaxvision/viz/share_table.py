"""A table of shares as a picture: who looks at what."""

import numpy as np
from jaxtyping import Float, UInt8

CELL, MOST_PIXELS = 12, 2048
NONE, FULL = np.array([24, 24, 32]), np.array([255, 210, 60])


def draw_shares(shares: Float[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "h w 3"]:
    """A cell for each share, the brighter the nearer it is to the largest of its row; cells shrink
    where there are many."""
    largest = shares.max(axis=1, keepdims=True, initial=0)
    bright = shares / np.where(largest > 0, largest, 1)
    cell = int(np.clip(MOST_PIXELS // max(*shares.shape, 1), 1, CELL))
    colours = NONE + bright[..., None] * (FULL - NONE)
    return colours.round().astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)
