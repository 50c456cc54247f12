"""From the last stage's answers to people and their actions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvision.methods.stmixer.decoder import Answers
from jaxvision.methods.stmixer.objective import PERSON
from jaxvision.metrics.action_frames import iou
from jaxvision.ops import boxes as box_ops
from jaxvision.tasks.people_in_films import People


class Detected(NamedTuple):
    """Every query's answer. person, action: probabilities.  boxes: x1, y1, x2, y2 as shares of the
    unpadded frame, 0 to 1."""

    person: Float[Array, "b n"]
    action: Float[Array, "b n actions"]
    boxes: Float[Array, "b n 4"]


class Choice(NamedTuple):
    """Which queries are people.

    threshold: least probability of a person.  fallback: so many of the likeliest where none
    reaches it (3 as published; 0 says nothing of an empty frame).  overlap: of two boxes whose IoU
    is larger the likelier stays; 1 keeps all, as published.
    """

    threshold: float = 0.6
    fallback: int = 3
    overlap: float = 1.0


def detect(last: Answers, sizes: Float[Array, "b 4"]) -> Detected:
    """Of the last stage's answers. An action's probability is not multiplied by the person's, as
    published. sizes: (w, h, w, h) of each clip in pixels, unpadded."""
    person = jax.nn.softmax(last.person.astype(jnp.float32), axis=-1)[..., PERSON]
    action = jax.nn.sigmoid(last.action.astype(jnp.float32))
    boxes = box_ops.clipped(last.boxes, sizes[:, None, :2]) / sizes[:, None]
    return Detected(person, action, boxes)


def choose(queries: People, choice: Choice) -> People:
    """The people among the answers of one clip's queries: in the queries' order, or by descending
    probability where none reaches the threshold."""
    person, action, boxes = queries
    rows = np.flatnonzero(person >= choice.threshold)
    if not len(rows):
        rows = np.argsort(-person, kind="stable")[: choice.fallback]
    if choice.overlap < 1:
        rows = _apart(person, boxes, rows, choice.overlap)
    return People(person[rows], action[rows], boxes[rows])


def _apart(person: np.ndarray, boxes: np.ndarray, rows: np.ndarray, overlap: float) -> np.ndarray:
    """`rows` without those that a likelier one of them covers, in their order."""
    kept: list[int] = []
    for row in rows[np.argsort(-person[rows], kind="stable")]:
        others = boxes[kept]
        if not (iou(np.broadcast_to(boxes[row], others.shape), others) > overlap).any():
            kept.append(int(row))
    return rows[np.isin(rows, kept)]
