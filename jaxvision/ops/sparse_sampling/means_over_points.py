"""The mean over the points of each group, where all frames of a clip share their points.

Sampling is linear in the map, so the mean over points needs no sample of its own: it is one product
of what every pixel counts for, [tokens, pixels], with the map, [pixels, frames * channels]. Its
backward pass is two such products, where that of a gather is a scatter. A CPU's gather is faster in
the forward pass, since it touches four pixels a point.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.sparse_sampling import reference

Form = Literal["gather", "product"]
FORMS = ("gather", "product")

# (most pixels, forward, backward) on each platform, as benchmarks/stmixer.py prints them.
TABLE: dict[str, tuple[tuple[float, Form, Form], ...]] = {
    "cpu": ((1024, "product", "product"), (float("inf"), "gather", "product")),
    "gpu": ((float("inf"), "product", "product"),),
    "tpu": ((float("inf"), "product", "product"),),
}


def preferred(pixels: int, platform: str) -> tuple[Form, Form]:
    """The forms of the forward and the backward pass for a map of so many pixels."""
    return next((f, b) for most, f, b in TABLE[platform] if pixels <= most)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def mean_over_points(
    maps: Float[Array, "x rows c"],
    where: Float[Array, "x n p 2"],
    weights: Float[Array, "x n p"],
    sizes: tuple[int, int],
    forms: tuple[Form, Form],
) -> Float[Array, "x n c"]:
    """sum over p of weights * sample(maps, where) / p, in float32.

    maps: pixels of (width, height) = `sizes` in row-major order.  where: bounded coordinates (see
    `geometry.coordinates`).  forms: of the forward and the backward pass; all give the same.
    """
    return _MEANS[forms[0]](maps, where, weights, sizes)


def _gather(maps: Array, where: Array, weights: Array, sizes: tuple[int, int]) -> Array:
    x, n, p = weights.shape
    sampled = reference.sample_rows(maps, where.reshape(x, n * p, 2), sizes)
    sampled = sampled.reshape(x, n, p, -1)
    return jnp.einsum("xnp,xnpc->xnc", weights / p, sampled, preferred_element_type=jnp.float32)


def _product(maps: Array, where: Array, weights: Array, sizes: tuple[int, int]) -> Array:
    p = weights.shape[-1]
    across, down = (_shares(where[..., axis], size) for axis, size in enumerate(sizes))
    down = down * (weights / p)[..., None]
    # In full precision: a TPU's default product would round the pixels' shares.
    counts = jnp.einsum("xnph,xnpw->xnhw", down, across, precision="highest")
    counts = counts.reshape(*counts.shape[:2], -1).astype(maps.dtype)
    return jnp.einsum("xnr,xrc->xnc", counts, maps, preferred_element_type=jnp.float32)


def _shares(where: Float[Array, "x n p"], size: int) -> Float[Array, "x n p size"]:
    """What each pixel along an axis counts for: the two around a coordinate share it."""
    low = jnp.floor(where)
    share, steps = (where - low)[..., None], jnp.arange(size) - low[..., None]
    return jnp.where(steps == 0, 1 - share, 0) + jnp.where(steps == 1, share, 0)


_MEANS = {"gather": _gather, "product": _product}


def _forward(
    maps: Array, where: Array, weights: Array, sizes: tuple[int, int], forms: tuple[Form, Form]
) -> tuple[Array, tuple[Array, Array, Array]]:
    return mean_over_points(maps, where, weights, sizes, forms), (maps, where, weights)


def _backward(
    sizes: tuple[int, int],
    forms: tuple[Form, Form],
    kept: tuple[Array, Array, Array],
    cotangent: Array,
) -> tuple[Array, Array, Array]:
    def again(maps: Array, where: Array, weights: Array) -> Array:
        return _MEANS[forms[1]](maps, where, weights, sizes)

    _, pull = jax.vjp(again, *kept)
    return pull(cotangent)


mean_over_points.defvjp(_forward, _backward)
