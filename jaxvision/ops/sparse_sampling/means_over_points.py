"""The mean over the points of each group, where all frames of a clip share their points.

Sampling is linear in the map, so the mean over points needs no sample of its own: it is one product
of what every pixel counts for, [tokens, pixels], with the map, [pixels, frames * channels]. Its
backward pass is two such products, where that of a gather is a scatter; but the products' work
grows with the map.

Which map: a CPU makes one of each group, with its channels of all frames. An accelerator takes the
clip as it lies in memory, channels of all groups, and keeps of each group's answer its own: as many
times the work as there are groups, where it has plenty, and no copy of the clip in another order.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.sparse_sampling import reference

Form = Literal["gather", "product", "whole"]

# The form of a map of at most so many pixels, as benchmarks/stmixer.py prints them: both ways, a
# CPU's gather takes 1.7 times as long at 64 x 80 and 30 times at 8 x 10, whatever the map's size.
TABLE: dict[str, tuple[tuple[float, Form], ...]] = {
    "cpu": ((8192, "product"), (float("inf"), "gather")),
    "gpu": ((float("inf"), "whole"),),
    "tpu": ((float("inf"), "whole"),),
}


def preferred(pixels: int, platform: str) -> Form:
    """The form for a map of so many pixels."""
    return next(form for most, form in TABLE[platform] if pixels <= most)


def mean_over_points(
    clip: Float[Array, "b t rows c"],
    where: Float[Array, "b g n p 2"],
    weights: Float[Array, "b g n p"],
    sizes: tuple[int, int],
    form: Form,
) -> Float[Array, "b g n t cg"]:
    """Of each group g of channels: sum over p of weights * sample(frame, where) / p, in float32.

    clip: frames of (width, height) = `sizes`, pixels in row-major order.  where: coordinates,
    bounded (see `geometry.coordinates`).
    """
    b, groups, n, p = weights.shape
    t, rows, channels = clip.shape[1:]
    width = channels // groups
    if form == "whole":
        # Shares along an axis fill whole rows of 128 lanes, too many to keep of every level.
        counts = jax.checkpoint(partial(_counts, sizes=sizes))(where, weights).astype(clip.dtype)
        of_all = _frame_products(counts.reshape(b, groups * n, rows), clip)
        of_all = of_all.reshape(b, groups, n, t, channels)
        own = [of_all[:, g, ..., g * width : (g + 1) * width] for g in range(groups)]
        return jnp.stack(own, axis=1)
    # One map a sample and group, whose channels are those of all frames.
    maps = clip.reshape(b, t, rows, groups, width)
    maps = maps.transpose(0, 3, 2, 1, 4).reshape(b * groups, rows, t * width)
    where, weights = where.reshape(-1, n, p, 2), weights.reshape(-1, n, p)
    if form == "gather":
        sampled = reference.sample_rows(maps, where.reshape(-1, n * p, 2), sizes)
        sampled = sampled.reshape(*weights.shape, -1)
        mean = _in_float32("xnp,xnpc->xnc", weights / p, sampled)
    else:
        counts = _counts(where, weights, sizes).astype(clip.dtype)
        mean = _in_float32("xnr,xrc->xnc", counts, maps)
    return mean.reshape(b, groups, n, t, width)


@jax.custom_vjp
def _frame_products(
    counts: Float[Array, "b n rows"], clip: Float[Array, "b t rows c"]
) -> Float[Array, "b n t c"]:
    """counts @ each frame, summed in float32.

    The backward pass has a rule of its own, since the cotangent is float32: JAX's rule would copy
    both factors to it. It comes from an answer in the clip's dtype, so that nothing is lost.
    """
    return _in_float32("bnr,btrc->bntc", counts, clip)


def _keep(counts: Array, clip: Array) -> tuple[Array, tuple[Array, Array]]:
    return _frame_products(counts, clip), (counts, clip)


def _pull(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    counts, clip = kept
    cotangent = cotangent.astype(clip.dtype)
    by_counts = _in_float32("bntc,btrc->bnr", cotangent, clip)
    by_clip = _in_float32("bnr,bntc->btrc", counts, cotangent)
    return by_counts.astype(counts.dtype), by_clip.astype(clip.dtype)


_frame_products.defvjp(_keep, _pull)


def _in_float32(rule: str, a: Array, b: Array) -> Array:
    return jnp.einsum(rule, a, b, preferred_element_type=jnp.float32)


def _counts(
    where: Float[Array, "*x n p 2"], weights: Float[Array, "*x n p"], sizes: tuple[int, int]
) -> Float[Array, "*x n rows"]:
    """What every pixel counts for in each token's mean over points, in float32."""
    across, down = (_shares(where[..., axis], size) for axis, size in enumerate(sizes))
    down = down * (weights / weights.shape[-1])[..., None]
    # In full precision: a TPU's default product would round the pixels' shares.
    counts = jnp.einsum("...ph,...pw->...hw", down, across, precision="highest")
    return counts.reshape(*counts.shape[:-2], -1)


def _shares(where: Float[Array, "*x n p"], size: int) -> Float[Array, "*x n p size"]:
    """What each pixel along an axis counts for: the two around a coordinate share it."""
    low = jnp.floor(where)
    share, steps = (where - low)[..., None], jnp.arange(size) - low[..., None]
    return jnp.where(steps == 0, 1 - share, 0) + jnp.where(steps == 1, share, 0)
