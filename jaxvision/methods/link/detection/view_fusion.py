"""Boxes of several turned or flipped views of a scan, fused class by class."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxvision.ops.rotated_boxes import rotated_nms

# Highest overlap of two kept boxes of a class, as published for nuScenes.
THRESHOLDS = {"traffic_cone": 0.05, "bicycle": 0.15, "bus": 0.25}
DEFAULT_THRESHOLD = 0.1
MAX_BOXES = 500
_suppress = jax.jit(rotated_nms, static_argnums=3)


def fuse(
    footprints: Float[np.ndarray, "n 5"],
    scores: Float[np.ndarray, " n"],
    classes: Int[np.ndarray, " n"],
    thresholds: Mapping[int, float],
    max_boxes: int = MAX_BOXES,
) -> Int[np.ndarray, " m"]:
    """Rows that survive, in descending score.

    footprints: x, y, length, width, heading, in one frame.  thresholds: by class.
    """
    kept = [np.zeros(0, np.int64)]
    for number, threshold in thresholds.items():
        rows = np.flatnonzero(classes == number)
        if not len(rows):
            continue
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        # Few sizes compile: rows are padded to a power of two.
        size = 1 << (len(rows) - 1).bit_length()
        boxes = np.zeros((size, 5))
        boxes[: len(rows)] = footprints[rows]
        boxes[: len(rows), :2] -= footprints[rows, :2].mean(axis=0)
        found, count = _suppress(
            jnp.asarray(boxes, jnp.float32), jnp.arange(size) < len(rows), threshold, size
        )
        kept.append(rows[np.asarray(found)[: int(count)]])
    rows = np.concatenate(kept)
    return rows[np.argsort(-scores[rows], kind="stable")][:max_boxes]


def class_thresholds(names: tuple[str, ...]) -> dict[int, float]:
    """The published threshold of each class, by number."""
    return {number: THRESHOLDS.get(name, DEFAULT_THRESHOLD) for number, name in enumerate(names)}
