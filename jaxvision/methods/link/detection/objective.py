"""CenterPoint's losses: a penalty-reduced focal loss and L1 at the objects' cells."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.methods.link.detection.center_head import Map, Predictions

MIN_PROBABILITY = 1e-4  # of a probability and its complement


class TaskTargets(NamedTuple):
    """Of one task: `heat` map, and per slot the regression target, the cell's number y * w + x,
    whether it holds an object, and its class inside the task."""

    heat: Float[Array, "b h w k"]
    box: Float[Array, "b n d"]
    cell: Int[Array, "b n"]
    mask: Int[Array, "b n"]
    category: Int[Array, "b n"]


class TaskLoss(NamedTuple):
    """heat: focal loss.  by_dimension: L1 of each entry of a box.  positives: objects."""

    heat: Float[Array, ""]
    by_dimension: Float[Array, " d"]
    positives: Float[Array, ""]


def box_maps(maps: dict[str, Map]) -> Map:
    """Raw box outputs in the targets' order: offset, height, size, velocity, yaw."""
    names = [name for name in ("reg", "height", "dim", "vel", "rot") if name in maps]
    return jnp.concatenate([maps[name] for name in names], axis=-1)


def task_loss(maps: dict[str, Map], targets: TaskTargets) -> TaskLoss:
    """Both losses of one task over a batch; sums are divided by its number of objects."""
    heat = jnp.clip(
        jax.nn.sigmoid(maps["hm"].astype(jnp.float32)), MIN_PROBABILITY, 1 - MIN_PROBABILITY
    )
    mask = targets.mask.astype(jnp.float32)
    count = jnp.sum(mask)
    negative = jnp.sum(jnp.log(1 - heat) * heat**2 * (1 - targets.heat) ** 4)
    batch, height, width, classes = heat.shape
    flat = heat.reshape(batch, height * width * classes)
    at = jnp.take_along_axis(flat, targets.cell * classes + targets.category, axis=1)
    positive = jnp.sum(jnp.log(at) * (1 - at) ** 2 * mask)
    focal = -(positive + negative) / jnp.maximum(count, 1)
    boxes = box_maps(maps).astype(jnp.float32).reshape(batch, height * width, -1)
    found = jnp.take_along_axis(boxes, targets.cell[..., None], axis=1)
    error = jnp.abs(found - targets.box) * mask[..., None]
    return TaskLoss(focal, jnp.sum(error, axis=(0, 1)) / (count + 1e-4), count)


def detection_loss(
    predictions: Predictions,
    targets: list[TaskTargets],
    weight: float,
    code_weights: Float[Array, " d"] | tuple[float, ...],
) -> tuple[Float[Array, ""], list[TaskLoss]]:
    """Sum over the tasks of heat loss + weight * (code_weights . by_dimension), and its parts."""
    parts = [task_loss(maps, of) for maps, of in zip(predictions, targets, strict=True)]
    codes = jnp.asarray(code_weights)
    total = sum(part.heat + weight * jnp.sum(codes * part.by_dimension) for part in parts)
    return jnp.asarray(total), parts
