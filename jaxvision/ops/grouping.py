"""Rows of the neighbours of each point ("grouping" in PointNet++, 1706.02413)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def group_points(
    features: Float[Array, "b n c"], neighbours: Int[Array, "b *m"]
) -> Float[Array, "b *m c"]:
    """features[neighbours] of each cloud; an index beyond the cloud reads its nearest row."""
    return jax.vmap(lambda rows, i: jnp.take(rows, i, axis=0, mode="clip"))(features, neighbours)
