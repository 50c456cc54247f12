"""Losses of the segmentation recipes: cross entropy and Lovasz-softmax (1705.08790)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

IGNORE = 0


def valid_labels(labels: Int[Array, "*n"], classes: int) -> Bool[Array, "*n"]:
    """Rows that a loss reads: neither the ignored class nor an id outside the classes."""
    return (labels != IGNORE) & (labels >= 0) & (labels < classes)


def cross_entropy(logits: Float[Array, "n k"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    """Mean of -log p(label) over the rows that count; 0 where none does."""
    keep = valid_labels(labels, logits.shape[-1])
    chosen = jnp.take_along_axis(
        jax.nn.log_softmax(logits.astype(jnp.float32)), jnp.where(keep, labels, 0)[:, None], axis=1
    )[:, 0]
    return -jnp.sum(jnp.where(keep, chosen, 0)) / jnp.maximum(jnp.sum(keep), 1)


def lovasz_softmax(logits: Float[Array, "n k"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    """Lovasz extension of 1 - IoU, a mean over the classes present among the rows that count."""
    classes = logits.shape[-1]
    keep = valid_labels(labels, classes)
    probabilities = jax.nn.softmax(logits.astype(jnp.float32))

    def of_class(number: Array, probability: Array) -> tuple[Array, Array]:
        member = (labels == number) & keep
        error = jnp.where(keep, jnp.abs(member - probability), -1.0)
        # Rows that do not count sort last, where every member has been seen.
        order = jnp.argsort(-jax.lax.stop_gradient(error))
        hit = member[order].astype(jnp.float32)
        total = jnp.sum(hit)
        missed = total - jnp.cumsum(hit)
        union = total + jnp.cumsum(1 - hit)
        jaccard = 1 - missed / jnp.maximum(union, 1)
        steps = jnp.diff(jaccard, prepend=0.0)
        loss = jnp.sum(jnp.maximum(error[order], 0) * jax.lax.stop_gradient(steps))
        return jnp.where(total > 0, loss, 0.0), total > 0

    losses, present = jax.vmap(of_class)(jnp.arange(classes), probabilities.T)
    return jnp.sum(losses) / jnp.maximum(jnp.sum(present), 1)


def segmentation_losses(
    logits: Float[Array, "s v k"], labels: Int[Array, "s v"]
) -> dict[str, Float[Array, ""]]:
    """Both losses over the voxels of all scans. Padding carries the ignored label."""
    logits, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    return {
        "cross_entropy": cross_entropy(logits, labels),
        "lovasz": lovasz_softmax(logits, labels),
    }
