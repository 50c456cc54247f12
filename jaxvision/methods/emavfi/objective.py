"""The training loss: Laplacian pyramids of the answer and of both blends (section 3.4)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvision.methods.emavfi.model import Interpolation

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
LEVELS = 5


def smooth(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """5 x 5 binomial filter of every channel, edges reflected (the edge itself not repeated)."""
    for axis in (1, 2):
        pads = [(2, 2) if a == axis else (0, 0) for a in range(4)]
        padded, size = jnp.pad(x, pads, mode="reflect"), x.shape[axis]
        taps = [
            weight * jax.lax.slice_in_dim(padded, tap, tap + size, axis=axis)
            for tap, weight in enumerate(BINOMIAL)
        ]
        x = sum(taps[1:], taps[0])
    return x


def _zero_insert(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    b, h, w, c = x.shape
    spread = jnp.zeros((b, h, 2, w, 2, c), x.dtype).at[:, :, 0, :, 0].set(x)
    return spread.reshape(b, 2 * h, 2 * w, c)


def laplacian_pyramid(
    x: Float[Array, "b h w c"], levels: int = LEVELS
) -> list[Float[Array, "b hl wl c"]]:
    """The band-pass images, fine first; the low-pass rest is left out.

    Sides must be multiples of 2**levels and at least 64 (reflection needs three pixels).
    """
    bands = []
    for _ in range(levels):
        down = smooth(x)[:, ::2, ::2]
        bands.append(x - 4 * smooth(_zero_insert(down)))
        x = down
    return bands


def laplacian_distances(
    a: Float[Array, "b h w c"], b: Float[Array, "b h w c"], levels: int = LEVELS
) -> Float[Array, " levels"]:
    """Mean absolute difference of every level, which all weigh the same in the loss.

    The pyramid is linear: one of a - b suffices.
    """
    return jnp.stack([jnp.mean(jnp.abs(band)) for band in laplacian_pyramid(a - b, levels)])


def interpolation_losses(
    answer: Interpolation, target: Float[Array, "b h w 3"], levels: int = LEVELS
) -> tuple[Float[Array, ""], list[Float[Array, ""]]]:
    """(loss of the refined frame, loss of each level's blend), from one pyramid of all errors."""
    errors = jnp.stack([image - target for image in (answer.frame, *answer.merged)])
    bands = laplacian_pyramid(errors.reshape(-1, *target.shape[1:]), levels)
    distances = [jnp.mean(jnp.abs(band).reshape(len(errors), -1), axis=1) for band in bands]
    refined, *merged = sum(distances[1:], distances[0])
    return refined, merged
