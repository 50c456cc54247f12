"""Which tokens a masked encoder sees.

Convention of VideoMAE's code, from which the rest took it: 1 = masked, 0 = kept. Every function
takes its draw as an argument. Counts are static, so that masks become index arrays of fixed length.
Tokens lie row-major on a window (t, h, w).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxvision.errors import InputError

Window = tuple[int, int, int]


def visible_count(window: Window, ratio: float, kind: str) -> int:
    """Tokens a mask keeps: (hw - int(ratio hw)) t for "tube", thw - int(ratio thw) for "random"."""
    t, h, w = window
    if kind == "tube":
        return (h * w - int(ratio * h * w)) * t
    if kind == "random":
        return t * h * w - int(ratio * t * h * w)
    raise InputError(f"encoder mask {kind!r}: expected 'tube' or 'random'")


def tube_mask(permutation: Int[Array, "b hw"], window: Window, ratio: float) -> Int[Array, "b thw"]:
    """The same int(ratio*hw) positions masked in every frame (VideoMAE, section 3.1).

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


def kept_indices(mask: Int[Array, "b n"], count: int) -> Int[Array, "b count"]:
    """Positions where `mask` is 0, ascending; each row must hold exactly `count` of them."""
    return jnp.argsort(mask, axis=1, stable=True)[:, :count]
