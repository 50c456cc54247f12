"""Bicubic resizing of 8-bit frames without antialiasing, as PyTorch does it on tensors: half-pixel
centres, repeated edges, values rounded and cut to 8 bits. Pillow's bicubic has another coefficient,
and averages when it shrinks."""

import numpy as np
from jaxtyping import UInt8

from jaxvision.ops.position_tables import bicubic_matrix


def bicubic_uint8(
    frames: UInt8[np.ndarray, "t h w c"], size: tuple[int, int]
) -> UInt8[np.ndarray, "t h2 w2 c"]:
    """Frames at `size` (height, width); aspect is not kept. Frames of that size already are
    returned as they are."""
    if frames.shape[1:3] == tuple(size):
        return frames
    rows, columns = (
        np.asarray(bicubic_matrix(old, new), np.float32)
        for old, new in zip(frames.shape[1:3], size, strict=True)
    )
    out = np.empty((len(frames), *size, frames.shape[3]), np.uint8)
    for frame, resized in zip(frames, out, strict=True):
        lines = np.tensordot(rows, frame.astype(np.float32), (1, 0))
        mixed = np.tensordot(columns, lines, (1, 1)).swapaxes(0, 1)
        np.clip(np.rint(mixed), 0, 255, out=resized, casting="unsafe")
    return out
