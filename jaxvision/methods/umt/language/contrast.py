"""Video-text contrast and matching (section 3.3): similarities, positives, hard negatives.

One batch is global, whatever the mesh. The papers' processes come back as `groups` of neighbouring
samples (`train.draw_groups`): negatives are drawn inside a group, and the encoders get 1/groups of
the contrast's gradient, since each process differentiated its own rows alone and data parallelism
averaged them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxvision.errors import InputError

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.001, 0.5
# Of a sample that has nobody else's video in its group: far below any real weight.
_LAST_RESORT = 1e-30


def similarities(vision: Float[Array, "b f d"], text: Float[Array, "c d"]) -> Float[Array, "b c"]:
    """Cosines of every frame's features with every text's, averaged over frames; in float32."""
    vision, text = _normalised(vision), _normalised(text)
    return jnp.einsum("bfd,cd->bc", vision, text) / vision.shape[1]


def pair_similarities(
    vision: Float[Array, "b f d"], text: Float[Array, "b k d"]
) -> Float[Array, "b k"]:
    """The same of each video with k texts of its own."""
    vision, text = _normalised(vision), _normalised(text)
    return jnp.einsum("bfd,bkd->bk", vision, text) / vision.shape[1]


def _normalised(x: Array) -> Array:
    x = x.astype(jnp.float32)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def part_of_gradient(x: Float[Array, "..."], groups: int) -> Float[Array, "..."]:
    """x itself, with 1/groups of its gradient."""
    return x if groups == 1 else jax.lax.stop_gradient(x) * (1 - 1 / groups) + x / groups


def positives(index: Int[Array, " b"]) -> Bool[Array, "b b"]:
    """Which samples show the same video; each its own at least."""
    return index[:, None] == index[None, :]


def contrastive_loss(
    logits: Float[Array, "b b"], same: Bool[Array, "b b"] | None = None
) -> Float[Array, ""]:
    """Mean of the cross entropies from videos to texts and back.

    logits: similarities over the temperature, a row per video.  same: `positives`, whose texts
    share the target equally; None where no video comes twice.
    """
    target = jnp.eye(len(logits)) if same is None else same.astype(jnp.float32)
    target = target / jnp.sum(target, axis=1, keepdims=True)
    return (_cross_entropy(logits, target) + _cross_entropy(logits.T, target)) / 2


def _cross_entropy(logits: Float[Array, "b b"], target: Float[Array, "b b"]) -> Float[Array, ""]:
    return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(logits, axis=1), axis=1))


def negative_weights(
    logits: Float[Array, "b b"], same: Bool[Array, "b b"], groups: int = 1
) -> Float[Array, "b b"]:
    """How likely each row draws each column as its negative: the softmax over the row's group, 0
    for the row's own video and for other groups. Rows do not sum to 1.

    InputError for groups of one sample, or that do not divide the batch.
    """
    within = _same_group(len(logits), groups)
    weights = jax.nn.softmax(jnp.where(within, logits, -jnp.inf), axis=1)
    return jnp.where(same, 0, weights)


def check_groups(samples: int, groups: int) -> None:
    """InputError for groups of one sample, or that do not divide the batch."""
    if samples % groups or samples == groups:
        raise InputError(
            f"train.draw_groups={groups} of a batch of {samples}: negatives are drawn inside a "
            "group, so groups of two samples or more were expected"
        )


def _same_group(samples: int, groups: int) -> Bool[Array, "b b"]:
    check_groups(samples, groups)
    group = jnp.arange(samples) // (samples // groups)
    return group[:, None] == group[None, :]


def draw_negatives(
    rng: PRNGKeyArray, weights: Float[Array, "b b"], groups: int = 1
) -> Int[Array, " b"]:
    """A column of each row by `negative_weights`; where all of a row's are 0 (its group holds one
    video alone), any other sample of its group."""
    samples = len(weights)
    others = _same_group(samples, groups) & ~jnp.eye(samples, dtype=bool)
    floor = jnp.where(others, _LAST_RESORT, 0)
    return jax.random.categorical(rng, jnp.log(weights + floor), axis=1)


def matching_loss(true: Float[Array, "b 2"], false: Float[Array, "n 2"]) -> Float[Array, ""]:
    """Mean cross entropy of pairs that belong together (class 1) and that do not (class 0)."""
    logits = jnp.concatenate([true, false]).astype(jnp.float32)
    labels = jnp.arange(len(logits)) < len(true)
    log_p = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.mean(jnp.where(labels, log_p[:, 1], log_p[:, 0]))
