"""Random erasing (1708.04896) of normalised pictures and clips, on the device."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

_TRIES = 10


def draw_boxes(
    keys: Shaped[PRNGKeyArray, " b"],
    size: tuple[int, int],
    *,
    probability: float,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
) -> Int[Array, "b 4"]:
    """(top, left, height, width) per sample; an empty box where nothing is erased.

    Each sample is erased with `probability`: a share of the area, an aspect (height/width,
    log-uniform), the first of ten tries that is smaller than the picture on both sides.
    """
    height, width = size

    def one(key: PRNGKeyArray) -> Int[Array, " 4"]:
        erase, shape, place = jax.random.split(key, 3)
        share, turn = jax.random.uniform(shape, (2, _TRIES))
        target = height * width * (area[0] + share * (area[1] - area[0]))
        low, high = jnp.log(jnp.array(aspect))
        ratio = jnp.exp(low + turn * (high - low))
        h = jnp.round(jnp.sqrt(target * ratio)).astype(jnp.int32)
        w = jnp.round(jnp.sqrt(target / ratio)).astype(jnp.int32)
        fits = (h < height) & (w < width)
        first = jnp.argmax(fits)
        h, w = h[first], w[first]
        top, left = jax.random.uniform(place, (2,))
        corner = jnp.array([top * (height - h + 1), left * (width - w + 1)]).astype(jnp.int32)
        done = fits.any() & jax.random.bernoulli(erase, probability)
        return jnp.where(done, jnp.array([*corner, h, w]), 0)

    return jax.vmap(one)(keys)


def inside(boxes: Int[Array, "b 4"], size: tuple[int, int]) -> Bool[Array, "b h w"]:
    """Which pixels lie in each sample's box."""
    rows, columns = jnp.arange(size[0])[:, None], jnp.arange(size[1])
    top, left, height, width = (edge[:, None, None] for edge in boxes.T)
    return (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)


def erase(
    pixels: Float[Array, "b *t h w c"],
    boxes: Int[Array, "b 4"],
    keys: Shaped[PRNGKeyArray, " b"],
    colour: Float[np.ndarray, " c"] | None = None,
) -> Float[Array, "b *t h w c"]:
    """The same box of every frame filled with `colour`, or with normal noise, fresh for each pixel
    and frame."""
    if colour is None:
        draw = jax.vmap(lambda key: jax.random.normal(key, pixels.shape[1:], pixels.dtype))
        filling = draw(keys)
    else:
        filling = jnp.asarray(colour, pixels.dtype)
    height, width = pixels.shape[-3:-1]
    hidden = inside(boxes, (height, width))
    frames = range(1, pixels.ndim - 3)
    return jnp.where(jnp.expand_dims(hidden, (*frames, -1)), filling, pixels)
