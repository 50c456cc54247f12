"""Which parameters decay, and how fast each layer learns, as CoMAE's scripts set it."""

import numpy as np

from jaxvision.training.layer_decay import layer_scales
from jaxvision.training.task import Group

VECTORS = ("bias", "scale")
EMBEDDING = ("class_token", "positions", "rgb_embedding", "depth_embedding")


def pretraining_group(path: str) -> Group:
    """No decay for vectors. The tokens and the zero-dimensional temperature do decay."""
    return Group(decay=0.0 if path.rsplit("/", 1)[-1] in VECTORS else 1.0)


def finetuning_group(path: str, depth: int, factor: float) -> Group:
    """Rates fall by `factor` a layer towards the embedding; no decay for vectors, the class token
    and the positions."""
    first, leaf = path.split("/", 1)[0], path.rsplit("/", 1)[-1]
    layer: int | np.ndarray = depth + 1
    if first == "stack":
        layer = np.arange(1, depth + 1)
    elif first in EMBEDDING:
        layer = 0
    spared = leaf in VECTORS or path in ("class_token", "positions")
    return Group(decay=0.0 if spared else 1.0, lr=layer_scales(depth, factor)[layer])
