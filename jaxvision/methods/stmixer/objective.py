"""Which query answers for which person, and the losses of every stage (section 3.4)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxvision.methods.stmixer.decoder import Answers
from jaxvision.ops import boxes as box_ops
from jaxvision.ops.matching import matched_predictions

PERSON = 0  # index of the person among the person head's logits; the last one is background


class Truth(NamedTuple):
    """People of a clip, padded to a capacity. boxes: x1, y1, x2, y2 in pixels of the input, of some
    area where `exists`.  actions: 0 or 1.  sizes: (w, h, w, h) of the clip, unpadded."""

    boxes: Float[Array, "b m 4"]
    actions: Float[Array, "b m actions"]
    exists: Bool[Array, "b m"]
    sizes: Float[Array, "b 4"]


class Weights(NamedTuple):
    """Of the parts of the loss; those of person, l1 and giou are of the matcher's costs, too.
    background: of a query without a person in the cross entropy."""

    person: float = 2.0
    action: float = 24.0
    l1: float = 2.0
    giou: float = 2.0
    background: float = 0.1


class Losses(NamedTuple):
    """Of each stage, unweighted.  person: cross entropy.  action: binary cross entropy of matched
    queries.  l1, giou: of matched boxes, over the number of people."""

    person: Float[Array, " stages"]
    action: Float[Array, " stages"]
    l1: Float[Array, " stages"]
    giou: Float[Array, " stages"]


def costs(answers: Answers, truth: Truth, weights: Weights) -> Float[Array, "s b n m"]:
    """What it costs to let query n answer for person m. Actions do not count."""
    person = jax.nn.softmax(answers.person, axis=-1)[..., PERSON, None]
    sizes = truth.sizes[:, None, :]
    found, wanted = answers.boxes / sizes, truth.boxes / sizes
    l1 = jnp.sum(jnp.abs(found[..., :, None, :] - wanted[..., None, :, :]), axis=-1)
    giou = box_ops.every_pair(box_ops.giou, answers.boxes, truth.boxes)
    return weights.l1 * l1 - weights.person * person - weights.giou * giou


def match(answers: Answers, truth: Truth, weights: Weights) -> Int[Array, "s b m"]:
    """The query of each person, stage by stage: least total cost, no query twice."""
    cost = costs(answers, truth, weights)
    stages, clips, queries, people = cost.shape
    # Clips lead, as the mesh divides them.
    by_clip = jnp.moveaxis(cost, 0, 1).reshape(clips * stages, queries, people)
    exists = jnp.repeat(truth.exists, stages, axis=0)
    found = matched_predictions(by_clip, exists)
    return jnp.moveaxis(found.reshape(clips, stages, people), 1, 0)


def losses(
    answers: Answers,
    truth: Truth,
    matched: Int[Array, "s b m"],
    people: Float[Array, ""],
    background: float,
) -> Losses:
    """people: how many of the group's people the box losses are divided by, at least 1."""
    exists = truth.exists.astype(jnp.float32)
    # 1. Persons: the matched queries' class is PERSON, all others' is background.
    logits = answers.person.astype(jnp.float32)
    queries, classes = logits.shape[-2:]
    hit = (matched[..., None] == jnp.arange(queries)) & truth.exists[..., None]
    is_person = jnp.any(hit, axis=-2)
    wanted = jnp.where(is_person, PERSON, classes - 1)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
    weight = jnp.where(is_person, 1.0, background)
    person = jnp.sum(each * weight, axis=(1, 2)) / jnp.sum(weight, axis=(1, 2))

    # 2. Actions and boxes of matched queries.
    def of_matched(values: Float[Array, "s b n k"]) -> Float[Array, "s b m k"]:
        return jnp.take_along_axis(values, matched[..., None], axis=2)

    entropy = optax.sigmoid_binary_cross_entropy(
        of_matched(answers.action).astype(jnp.float32), truth.actions
    )
    here, actions = jnp.sum(exists), truth.actions.shape[-1]
    action = jnp.sum(entropy * exists[..., None], axis=(1, 2, 3))
    action = action / jnp.maximum(here * actions, 1)
    boxes = of_matched(answers.boxes)
    distance = jnp.sum(jnp.abs(boxes - truth.boxes) / truth.sizes[:, None], axis=-1)
    apart = 1 - box_ops.giou(boxes, truth.boxes)
    l1, giou = (jnp.sum(each * exists, axis=(1, 2)) / people for each in (distance, apart))
    return Losses(person, action, l1, giou)


def detection_loss(
    answers: Answers, truth: Truth, weights: Weights, people: Float[Array, ""]
) -> tuple[Float[Array, ""], Losses]:
    """The mean of the weighted parts over stages and kinds, as optimised, and its parts.

    people: see `losses`. Published: the mean over processes, while cross entropies are means of one
    process alone, so that both come from `train.loss_groups`.
    """
    matched = match(answers, truth, weights)
    parts = losses(answers, truth, matched, people, weights.background)
    weighted = Losses(
        weights.person * parts.person,
        weights.action * parts.action,
        weights.l1 * parts.l1,
        weights.giou * parts.giou,
    )
    return jnp.mean(jnp.stack(weighted)), weighted
