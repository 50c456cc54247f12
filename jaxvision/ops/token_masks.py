"""Which tokens a masked encoder sees.

Convention of VideoMAE's code, from which the rest took it: 1 = masked, 0 = kept. Every function
takes its draw as an argument. Counts are static, so that masks become index arrays of fixed length.
Tokens lie row-major on a window (t, h, w).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

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


def visible_per_frame(places: int, ratio: float) -> int:
    """Tokens that a mask guided by attention keeps of each frame: places - int(ratio * places)."""
    return places - int(ratio * places)


def gumbel(uniform: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gumbel noise of uniform draws in (0, 1): -log(-log u)."""
    return -jnp.log(-jnp.log(uniform.astype(jnp.float32)))


def guided_places(
    attention: Float[Array, "f n"], noise: Float[Array, "f n"], count: int
) -> Int[Array, "f count"]:
    """`count` places of each frame, ascending, drawn without replacement in proportion to the
    attention that they get (UMT, section 3.1): those of the largest `guided_scores`.

    noise: Gumbel draws.
    """
    return jnp.sort(jax.lax.top_k(guided_scores(attention, noise), count)[1], axis=-1)


def guided_scores(
    attention: Float[Array, "f n"], noise: Float[Array, "f n"]
) -> Float[Array, "f n"]:
    """log attention + Gumbel noise, float32. In falling order these are draws without replacement
    in proportion to the attention (the exponential race attention / e, in log space)."""
    least = jnp.finfo(jnp.float32).tiny
    return jnp.log(jnp.maximum(attention.astype(jnp.float32), least)) + noise


def tokens_of_places(places: Int[Array, "f count"], frames: int, size: int) -> Int[Array, "b m"]:
    """Token indices of places in each of a clip's `frames` frames of `size` tokens, frame by frame:
    m = frames * count."""
    offset = jnp.arange(frames, dtype=places.dtype) * size
    clips = places.reshape(-1, frames, places.shape[-1])
    return (clips + offset[:, None]).reshape(clips.shape[0], -1)
