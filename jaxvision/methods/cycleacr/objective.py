"""The losses of both published code bases, and what they log (section 3.4)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxvision.ops.focal_loss import sigmoid_focal_loss, softmax_focal_loss

Logits = Float[Array, "*n classes"]
# AVA's classes by kind, in the order of their ids: how a person moves, handles objects, and deals
# with others.
GROUPS = (14, 49, 17)
NAMES = ("pose", "object", "person")


class FocalWeights(NamedTuple):
    """gamma, alpha: see `ops/focal_loss.py`.  pose, object, person: of the parts."""

    gamma: float = 2.0
    alpha: float | None = None
    pose: float = 1.2
    object: float = 49.0
    person: float = 17.0


def split(values: Array, groups: tuple[int, ...] = GROUPS) -> list[Array]:
    """The columns of each group of classes; empty groups have none."""
    ends = [sum(groups[: i + 1]) for i in range(len(groups) - 1)]
    return jnp.split(values, ends, axis=-1)


def pose_of(labels: Float[Array, "*n poses"]) -> Array:
    """The first pose of each person, and the first of all where none is known, as published."""
    return jnp.argmax(labels > 0.5, axis=-1)


def focal_loss(
    logits: Logits,
    labels: Logits,
    exists: Bool[Array, "*n"],
    weights: FocalWeights,
    groups: tuple[int, ...] = GROUPS,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The convolutional code's: a softmax over poses, of which a person has one, and sigmoids; each
    part a mean over all people. The total, and its parts unweighted."""
    people = jnp.maximum(jnp.sum(exists), 1)
    logit, label = split(logits, groups), split(labels, groups)

    def mean(each: Float[Array, "*n"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(exists, each, 0)) / people

    gamma, alpha = weights.gamma, weights.alpha
    parts = {}
    if groups[0]:
        parts["pose"] = mean(softmax_focal_loss(logit[0], pose_of(label[0]), gamma, alpha))
    for name, a, b in zip(NAMES[1:], logit[1:], label[1:], strict=True):
        if a.shape[-1]:
            parts[name] = mean(jnp.mean(sigmoid_focal_loss(a, b, gamma, alpha), axis=-1))
    total = sum((getattr(weights, name) * part for name, part in parts.items()), jnp.zeros(()))
    return total, parts


def summed_entropy(
    logits: Logits, labels: Logits, exists: Bool[Array, "*n"], processes: int = 1
) -> Float[Array, ""]:
    """The VideoMAE code's: binary cross entropy, a mean over classes and a sum over the people of a
    process; processes average."""
    each = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels), axis=-1)
    return jnp.sum(jnp.where(exists, each, 0)) / processes


def accuracies(
    logits: Logits,
    labels: Logits,
    exists: Bool[Array, "*n"],
    groups: tuple[int, ...] = GROUPS,
) -> dict[str, tuple[Float[Array, ""], Float[Array, ""]]]:
    """(sum, people) of what is logged: poses that are right; of the other groups, the likely and
    the true classes of each person, what they share over what either has (1 where both are
    empty)."""
    people = jnp.sum(exists).astype(jnp.float32)
    logit, label = split(logits, groups), split(labels, groups)
    right = jnp.argmax(logit[0], axis=-1) == pose_of(label[0])
    found = {NAMES[0]: right.astype(jnp.float32)}
    for name, a, b in zip(NAMES[1:], logit[1:], label[1:], strict=True):
        likely, true = a > 0, b > 0.5
        shared = jnp.sum(likely & true, axis=-1)
        either = jnp.sum(likely | true, axis=-1)
        found[name] = jnp.where(either > 0, shared / jnp.maximum(either, 1), 1.0)
    return {name: (jnp.sum(jnp.where(exists, each, 0)), people) for name, each in found.items()}


def probabilities(logits: Logits, poses: int = GROUPS[0]) -> Logits:
    """Of each class: a softmax over the first `poses`, sigmoids of the others. poses: 0 in the
    VideoMAE code."""
    logits = logits.astype(jnp.float32)
    first = jax.nn.softmax(logits[..., :poses], axis=-1)
    return jnp.concatenate([first, jax.nn.sigmoid(logits[..., poses:])], axis=-1)
