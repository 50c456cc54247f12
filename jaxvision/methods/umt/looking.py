"""What the teacher looks at, and what of a clip the student gets to see: pictures of both."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxvision.tasks.clip_pictures import ClipPictures

GREY = 128
DARKEST = 0.15  # brightness of a place that gets no attention
PICTURES = ClipPictures(("original", "attention", "visible"), score="loss")


def views(
    video: UInt8[Array, "b t h w 3"],
    attention: Float[Array, "bt n"],
    visible: Int[Array, "b m"],
    window: tuple[int, int, int],
) -> dict[str, UInt8[Array, "b t h w 3"]]:
    """`original`; `attention`: frames as bright as the teacher's class token looks at them, each
    frame's most attended place as it is; `visible`: frames whose masked places are grey."""
    clips, size = video.shape[0], video.shape[1:4]
    by_place = attention.reshape(clips, *window)
    peak = jnp.max(by_place, axis=(2, 3), keepdims=True)
    brightness = DARKEST + (1 - DARKEST) * by_place / peak
    seen = jnp.zeros((clips, int(np.prod(window))), bool)
    seen = seen.at[jnp.arange(clips)[:, None], visible].set(True)
    lit = video * _enlarged(brightness, size)[..., None]
    shown = jnp.where(_enlarged(seen.reshape(clips, *window), size)[..., None], video, GREY)
    return {
        "original": video,
        "attention": jnp.round(lit).astype(jnp.uint8),
        "visible": shown.astype(jnp.uint8),
    }


def _enlarged(places: Array, size: tuple[int, ...]) -> Array:
    """[b, t, h, w] of tokens -> of pixels."""
    for axis, length in enumerate(size, 1):
        places = jnp.repeat(places, length // places.shape[axis], axis=axis)
    return places
