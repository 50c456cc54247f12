"""Focal losses (1708.02002): cross entropies in which what is already right counts little.

Both are computed from logarithms alone: no logit, however large, gives an infinite gradient.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def sigmoid_focal_loss(
    logits: Float[Array, "*n"],
    targets: Float[Array, "*n"],
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Float[Array, "*n"]:
    """-(1 - p)^gamma log p of each logit, p the probability given to its target; float32.

    targets: 0 or 1.  alpha: weight of targets 1, and 1 - alpha of targets 0; None: both 1.
    """
    logits, targets = logits.astype(jnp.float32), targets.astype(jnp.float32)
    toward = jnp.where(targets > 0.5, logits, -logits)
    loss = -jnp.exp(gamma * jax.nn.log_sigmoid(-toward)) * jax.nn.log_sigmoid(toward)
    if alpha is None:
        return loss
    return loss * (alpha * targets + (1 - alpha) * (1 - targets))


def softmax_focal_loss(
    logits: Float[Array, "*n classes"],
    labels: Int[Array, "*n"],
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Float[Array, "*n"]:
    """-(1 - p)^gamma log p of each label, p its softmax probability; float32.

    alpha: weight of label 1, and 1 - alpha of label 0; any other label then weighs 0, as published
    (CycleACR 2303.16118). None: all weigh 1.
    """
    logits = logits.astype(jnp.float32)
    is_label = labels[..., None] == jnp.arange(logits.shape[-1])
    total = jax.nn.logsumexp(logits, axis=-1)
    log_p = jnp.sum(jnp.where(is_label, logits, 0), axis=-1) - total
    log_rest = jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, logits), axis=-1) - total
    loss = -jnp.exp(gamma * log_rest) * log_p
    if alpha is None:
        return loss
    return loss * jnp.where(labels == 1, alpha, jnp.where(labels == 0, 1 - alpha, 0))
