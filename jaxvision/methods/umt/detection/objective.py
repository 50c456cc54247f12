"""The loss of the action detector."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float


def action_loss(
    logits: Float[Array, "b n actions"],
    labels: Float[Array, "b n actions"],
    exists: Bool[Array, "b n"],
) -> Float[Array, ""]:
    """Binary cross entropy, the mean over actions and the sum over the boxes that exist, as
    published: a clip with more people weighs more. labels: 0 or 1."""
    entropy = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), labels)
    return jnp.sum(jnp.mean(entropy, axis=-1) * exists)
