"""Cross entropies against soft and smoothed targets."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def smooth_one_hot(
    labels: Int[Array, " b"], classes: int, smoothing: float
) -> Float[Array, "b classes"]:
    """smoothing/classes everywhere, and 1 - smoothing more at the label."""
    return jax.nn.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes


def soft_cross_entropy(
    logits: Float[Array, "b classes"], targets: Float[Array, "b classes"]
) -> Float[Array, " b"]:
    """-sum(target * log softmax) of each sample, in float32."""
    return -jnp.sum(targets * jax.nn.log_softmax(logits.astype(jnp.float32)), axis=-1)


def smoothed_cross_entropy(
    logits: Float[Array, "b classes"], labels: Int[Array, " b"], smoothing: float
) -> Float[Array, " b"]:
    """(1 - smoothing) * -log p(label) + smoothing * mean(-log p), of each sample, in float32."""
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    of_label = jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
    return -(1 - smoothing) * of_label - smoothing * jnp.mean(log_p, axis=-1)
