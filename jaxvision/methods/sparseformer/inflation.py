"""An image model's weights for clips (sparseformer/media.py of the package).

Tokens are repeated r times, each copy with its r-th of the clip as its box in time; what moves
points and boxes in time starts at exactly 0.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from jaxvision.errors import InputError
from jaxvision.methods.sparseformer.architecture import Architecture


def inflated(architecture: Architecture, replicates: int) -> Architecture:
    """The clip model of an image model, with `replicates` times as many tokens."""
    if architecture.dimensions != 2 or replicates < 1:
        raise InputError(
            f"replicates={replicates} of a model of {architecture.dimensions} dimensions: expected "
            "an image model, at least once"
        )
    tokens = architecture.tokens * replicates
    return dataclasses.replace(architecture, tokens=tokens, dimensions=3)


def inflate(tensors: Mapping[str, np.ndarray], replicates: int) -> dict[str, np.ndarray]:
    """Official tensors of an image model -> those of its clip model, under the same names."""
    return {name: _inflate(name, tensor, replicates) for name, tensor in tensors.items()}


def _inflate(name: str, tensor: np.ndarray, replicates: int) -> np.ndarray:
    *_, module, last = ("", *name.split("."))
    if name == "feat_extractor.conv1.weight":
        return tensor[:, :, None]
    if module in ("initial_roi", "token_roi"):
        return inflate_boxes(tensor, replicates)
    if module in ("initial_embedding", "token_embedding"):
        return tensor if len(tensor) == 1 else np.tile(tensor, (replicates, 1))
    if last == "roi_offset_bias":
        return _with_zeros(tensor.reshape(-1, 2)).reshape(-1)
    if ".roi_offset_module.1." in name:
        pairs = tensor.reshape(-1, 2, tensor.shape[-1])
        return _with_zeros(pairs).reshape(-1, tensor.shape[-1])
    if ".roi_adjust_module." in name and tensor.shape[0] == 4 and tensor.ndim == 2:
        moves = tensor.reshape(2, 2, -1)
        return _with_zeros(moves).reshape(6, -1)
    return tensor


def inflate_boxes(boxes: Float[np.ndarray, "n 4"], replicates: int) -> Float[np.ndarray, "m 6"]:
    """The table repeated; copy k of r lies in time between k/r and (k+1)/r."""
    copy = np.repeat(np.arange(replicates), len(boxes))[:, None]
    space = np.tile(boxes, (replicates, 1))
    times = [(copy / replicates), ((copy + 1) / replicates)]
    parts = [space[:, :2], times[0], space[:, 2:], times[1]]
    return np.concatenate(parts, axis=1).astype(boxes.dtype)


def _with_zeros(x: np.ndarray) -> np.ndarray:
    """A zero behind axis 1: (x, y) -> (x, y, 0)."""
    return np.concatenate([x, np.zeros_like(x[:, :1])], axis=1)
