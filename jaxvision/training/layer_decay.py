"""Weight decay, and learning rates by depth, for a transformer on an encoder (BEiT, 2106.08254).

Paths are those of `jaxvision.nn.video_transformer`: "encoder/stack/..." for the stacked blocks,
"encoder/..." for what comes before them; the rest (norm, head) is the last layer.
"""

import numpy as np

from jaxvision.training.task import Group

# Leaves that the published code never decays: one-dimensional ones, and those it names.
UNDECAYED = {
    "bias",
    "scale",
    "query_bias",
    "value_bias",
    "attention_scale",
    "mlp_scale",
    "mask_token",
    "positions",
}


def decays(path: str) -> bool:
    """Whether weight decay applies to the parameter at `path`."""
    return path.rsplit("/", 1)[-1] not in UNDECAYED


def layer_scales(depth: int, factor: float) -> np.ndarray:
    """Learning-rate factor of layer 0 (embedding), 1..depth (blocks) and depth+1 (norm and head):
    factor^(depth + 1 - layer)."""
    return factor ** np.arange(depth + 1, -1, -1, dtype=np.float64)


def layers_of(path: str, depth: int) -> int | np.ndarray:
    """The layer that a classifier's parameter belongs to; one per block of a stacked leaf."""
    if path.startswith("encoder/stack/"):
        return np.arange(1, depth + 1)
    return 0 if path.startswith("encoder/") else depth + 1


def layer_decay_group(path: str, depth: int, factor: float) -> Group:
    """The group of a classifier's parameter, each block of a stacked leaf by its own depth."""
    rate = layer_scales(depth, factor)[layers_of(path, depth)]
    # The forward pass detaches learned positions, as the published one does.
    trained = path != "encoder/positions"
    return Group(train=trained, decay=1.0 if decays(path) else 0.0, lr=rate)
