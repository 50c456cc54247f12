"""The mean over the points of each group, where all frames of a clip share their points.

Sampling is linear in the map, so the mean over points needs no sample of its own: it is one product
of what every pixel counts for, [tokens, pixels], with the map, [pixels, frames * channels]. Its
backward pass is two such products, where that of a gather is a scatter; but the products' work
grows with the map.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.sparse_sampling import reference

Form = Literal["gather", "product"]

# The form of a map of at most so many pixels, as benchmarks/stmixer.py prints them: both ways, a
# CPU's gather takes 1.7 times as long at 64 x 80 and 30 times at 8 x 10, whatever the map's size.
TABLE: dict[str, tuple[tuple[float, Form], ...]] = {
    "cpu": ((8192, "product"), (float("inf"), "gather")),
    "gpu": ((float("inf"), "product"),),
    "tpu": ((float("inf"), "product"),),
}


def preferred(pixels: int, platform: str) -> Form:
    """The form for a map of so many pixels."""
    return next(form for most, form in TABLE[platform] if pixels <= most)


def mean_over_points(
    maps: Float[Array, "x rows c"],
    where: Float[Array, "x n p 2"],
    weights: Float[Array, "x n p"],
    sizes: tuple[int, int],
    form: Form,
) -> Float[Array, "x n c"]:
    """sum over p of weights * sample(maps, where) / p, in float32.

    maps: pixels of (width, height) = `sizes` in row-major order.  where: bounded coordinates (see
    `geometry.coordinates`).
    """
    x, n, p = weights.shape
    if form == "gather":
        sampled = reference.sample_rows(maps, where.reshape(x, n * p, 2), sizes)
        sampled = sampled.reshape(x, n, p, -1)
        return jnp.einsum("xnp,xnpc->xnc", weights / p, sampled, preferred_element_type=jnp.float32)
    across, down = (_shares(where[..., axis], size) for axis, size in enumerate(sizes))
    down = down * (weights / p)[..., None]
    # In full precision: a TPU's default product would round the pixels' shares.
    counts = jnp.einsum("xnph,xnpw->xnhw", down, across, precision="highest")
    counts = counts.reshape(x, n, -1).astype(maps.dtype)
    return jnp.einsum("xnr,xrc->xnc", counts, maps, preferred_element_type=jnp.float32)


def _shares(where: Float[Array, "x n p"], size: int) -> Float[Array, "x n p size"]:
    """What each pixel along an axis counts for: the two around a coordinate share it."""
    low = jnp.floor(where)
    share, steps = (where - low)[..., None], jnp.arange(size) - low[..., None]
    return jnp.where(steps == 0, 1 - share, 0) + jnp.where(steps == 1, share, 0)
