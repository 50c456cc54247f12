"""What CoMAE's three stages minimise, and which patches the masked one hides."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

TARGET_EPSILON = 1e-6


def masked_patches(noise: Float[Array, "b n"], kept: int) -> tuple[Array, Array]:
    """(indices of the `kept` patches of the smallest noise, in their order; mask: 1 = removed)."""
    order = jnp.argsort(noise, axis=1)
    indices = order[:, :kept]
    mask = jnp.ones(noise.shape, jnp.int32).at[jnp.arange(noise.shape[0])[:, None], indices].set(0)
    return indices, mask


def kept_count(patches: int, ratio: float) -> int:
    """int(L * (1 - ratio)), as published: rounding errors count (10 patches at 0.9 leave 0)."""
    return int(patches * (1 - ratio))


def contrast_loss(logits: Float[Array, "b n n"]) -> Float[Array, " b"]:
    """Mean of both directions' cross entropies against the diagonal, per sample."""
    diagonal = jnp.diagonal(logits, axis1=1, axis2=2)
    rows = jax.nn.logsumexp(logits, axis=2) - diagonal
    columns = jax.nn.logsumexp(logits, axis=1) - diagonal
    return jnp.mean(rows + columns, axis=1) / 2


def patch_targets(
    patches: Float[Array, "b n patch"], normalised: bool = True
) -> Float[Array, "b n patch"]:
    """What is to be predicted: pixels, or pixels less their patch's mean over its deviation (of all
    channels together, variance unbiased; section 3.3)."""
    if not normalised:
        return patches
    mean, deviation = patch_statistics(patches)
    return (patches - mean) / deviation


def patch_statistics(
    patches: Float[Array, "b n patch"],
) -> tuple[Float[Array, "b n 1"], Float[Array, "b n 1"]]:
    """(mean, sqrt(unbiased variance + 1e-6)) of each patch's values."""
    mean = jnp.mean(patches, axis=-1, keepdims=True)
    variance = jnp.var(patches, axis=-1, keepdims=True, ddof=1)
    return mean, jnp.sqrt(variance + TARGET_EPSILON)


def masked_error(
    prediction: Float[Array, "b n patch"],
    target: Float[Array, "b n patch"],
    mask: Int[Array, "b n"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(sum over removed patches of their mean squared error, number of removed patches)."""
    error = jnp.mean(jnp.square(prediction.astype(jnp.float32) - target), axis=-1)
    weight = mask.astype(jnp.float32)
    return jnp.sum(error * weight), jnp.sum(weight)
