"""Attention in the open: the definition of right."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# The score of a key that is left out: finite, so that a row without any key has a softmax.
LEAST = -1e30


def attend(
    query: Float[Array, "b n h d"],
    key: Float[Array, "b m h d"],
    value: Float[Array, "b m h d"],
    bias: Float[Array, "#b #h #n #m"] | None = None,
) -> Float[Array, "b n h d"]:
    """See `attention`.  bias: of `score_bias`."""
    return weighted(weights(query, key, bias).astype(value.dtype), value)


def weights(
    query: Float[Array, "b n h d"],
    key: Float[Array, "b m h d"],
    bias: Float[Array, "#b #h #n #m"] | None = None,
) -> Float[Array, "b h n m"]:
    """What each query takes of each key, in float32: rows sum to 1, or to 0 where every key is left
    out.  bias: of `score_bias`."""
    scores = jnp.einsum("bnhd,bmhd->bhnm", query, key, preferred_element_type=jnp.float32)
    if bias is None:
        return jax.nn.softmax(scores, axis=-1)
    scores = scores + bias
    # `scores > -inf` would hide a NaN.
    used = scores != -jnp.inf
    return jnp.where(used, jax.nn.softmax(jnp.where(used, scores, LEAST), axis=-1), 0)


def weighted(
    weights: Float[Array, "b h n m"], value: Float[Array, "b m h d"]
) -> Float[Array, "b n h d"]:
    """The sum of the values by `weights`."""
    return jnp.einsum("bhnm,bmhd->bnhd", weights, value)


def score_bias(
    lengths: tuple[int, int],
    key_mask: Bool[Array, "b m"] | None = None,
    causal: bool = False,
    bias: Float[Array, "#b #h #n #m"] | None = None,
) -> Float[Array, "#b #h #n #m"] | None:
    """Masks and bias of `attention` as one float32 bias, minus infinity where a key is left out;
    None where there are none.  lengths: of queries and keys."""
    n, m = lengths
    total = None if bias is None else bias.astype(jnp.float32)
    masks = []
    if key_mask is not None:
        masks.append(key_mask[:, None, None, :])
    if causal:
        masks.append(jnp.arange(n)[:, None] >= jnp.arange(m))
    for mask in masks:
        total = jnp.where(mask, 0.0 if total is None else total, -jnp.inf)
    return total if total is None or total.ndim == 4 else total[None, None]
