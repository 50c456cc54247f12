"""Weights of an image network for another grid, or for cubes of several frames."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvision.ops.position_tables import resize_spatial

Inflation = Literal["center", "mean"]


def resize_class_table(
    table: Float[Array, "n1 d"], old: tuple[int, int], new: tuple[int, int]
) -> Float[Array, "n2 d"]:
    """CLIP's positions for another (h, w): row 0, the class token's, as it is, the rest resized
    bicubically."""
    rest = resize_spatial(table[1:], (1, *old), new)
    return jnp.concatenate([jnp.asarray(table[:1]), rest])


def inflate(
    kernel: Float[np.ndarray, "out 3 p p"], frames: int, how: Inflation
) -> Float[np.ndarray, "out 3 t p p"]:
    """A kernel of pictures for cubes of `frames` frames, in the official layout: the picture's in
    frame frames // 2 and zeros elsewhere ("center"), or a share of it in each ("mean")."""
    if how == "mean":
        return np.repeat(kernel[:, :, None], frames, axis=2) / frames
    inflated = np.zeros((*kernel.shape[:2], frames, *kernel.shape[2:]), kernel.dtype)
    inflated[:, :, frames // 2] = kernel
    return inflated
