"""Learning rates and weight decay of each parameter, by both published code bases."""

import dataclasses

import numpy as np

from jaxvision.training.layer_decay import layer_scales, layers_of
from jaxvision.training.task import Group

NETWORK = "backbone/network/"
# The published "cycleacr_module": what is behind RoIAlign and before the classifier's layers.
MODULE = tuple(
    f"head/{name}"
    for name in (
        "actor_reduction",
        "context_reduction",
        "local_reduction",
        "roi_reduction",
        "cycle_modeling",
        "instance_interaction",
    )
)
# The last part of a path whose published name has "bias" or "position" in it.
BIASES = ("bias", "offset_bias")
POSITIONS = ("positions", "position_key", "position_value")
# One-dimensional leaves of a plain transformer's detector.
VECTORS = ("bias", "scale", "query_bias", "value_bias")


@dataclasses.dataclass(frozen=True)
class SgdGroups:
    """The convolutional code's. bias, module: factors of the learning rate.  frozen: batch norms
    are tables, not parameters, as published; otherwise they train, without decay."""

    bias: float = 2.0
    module: float = 10.0
    frozen: bool = True

    def of(self, path: str, batch_norms: bool) -> Group:
        """batch_norms: whether the backbone's norms are batch norms."""
        last = path.rsplit("/", 1)[-1]
        if batch_norms and path.startswith(NETWORK) and path.rsplit("/", 2)[-2] == "norm":
            return Group(train=not self.frozen, decay=0.0)
        lr = self.module if path.startswith(MODULE) else 1.0
        if last in BIASES:
            return Group(decay=0.0, lr=lr * self.bias)
        return Group(decay=0.0 if last in POSITIONS else 1.0, lr=lr)


@dataclasses.dataclass(frozen=True)
class LayerGroups:
    """The VideoMAE code's. decay: from a transformer's layer to the one before.  others: factor on
    the rate of what is neither a block nor the last norm."""

    depth: int
    decay: float = 0.8
    others: float = 1.0

    def layers(self, path: str) -> int | np.ndarray:
        """0: the embedding; 1 to depth: blocks; depth + 1: the rest."""
        return layers_of(path.removeprefix(NETWORK), self.depth)

    def of(self, path: str) -> Group:
        rate = layer_scales(self.depth, self.decay)[self.layers(path)]
        inner = path.startswith((f"{NETWORK}encoder/stack/", f"{NETWORK}norm/"))
        decayed = path.rsplit("/", 1)[-1] not in VECTORS
        return Group(decay=float(decayed), lr=rate if inner else rate * self.others)
