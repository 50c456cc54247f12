"""Attention in the open: the definition of right."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def attend(
    query: Float[Array, "b n h d"], key: Float[Array, "b n h d"], value: Float[Array, "b n h d"]
) -> Float[Array, "b n h d"]:
    """See `attention`."""
    return weighted(weights(query, key, value.dtype), value)


def weights(
    query: Float[Array, "b n h d"], key: Float[Array, "b m h d"], dtype: jnp.dtype
) -> Float[Array, "b h n m"]:
    """What each token takes of the others: scores and softmax in float32, rounded to `dtype`."""
    scores = jnp.einsum("bnhd,bmhd->bhnm", query, key, preferred_element_type=jnp.float32)
    return jax.nn.softmax(scores, axis=-1).astype(dtype)


def weighted(
    weights: Float[Array, "b h n m"], value: Float[Array, "b m h d"]
) -> Float[Array, "b n h d"]:
    return jnp.einsum("bhnm,bmhd->bnhd", weights, value)
