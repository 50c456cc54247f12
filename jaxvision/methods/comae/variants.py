"""CoMAE's sizes by name, and the weights its authors published."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxvision.errors import InputError, nearest
from jaxvision.methods.comae.model import (
    MultiModalAutoencoder,
    PatchContrast,
    PatchGrid,
    SceneClassifier,
)
from jaxvision.nn.transformer import BlockConfig

Network = PatchContrast | MultiModalAutoencoder | SceneClassifier


class Size(NamedTuple):
    """A row of the table of sizes. The small one has 12 heads, not ViT-S's 6."""

    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0


SIZES = {"small": Size(384, 12, 12), "base": Size(768, 12, 12), "large": Size(1024, 24, 16)}
CLASSES = {"sunrgbd": 19, "nyud": 10}
STAGES = ("contrast", "autoencoder", *CLASSES)
DECODER = (512, 16, 8)  # width, heads, depth


def network(size: str, stage: str, classes: int = 0, dtype: str = "float32") -> Network:
    """The published network of a size and stage; `classes` instead of a data set's."""
    row, grid = SIZES[size], PatchGrid()

    def block(width: int, heads: int) -> BlockConfig:
        return BlockConfig(width, heads, fused_bias=True, dtype=jnp.dtype(dtype))

    encoder = block(row.width, row.heads)
    if stage == "contrast":
        return PatchContrast(grid, encoder, row.depth)
    if stage == "autoencoder":
        width, heads, depth = DECODER
        return MultiModalAutoencoder(grid, encoder, row.depth, block(width, heads), depth)
    return SceneClassifier(grid, encoder, row.depth, classes or CLASSES[stage])


def find_variant(name: str) -> tuple[str, str, int]:
    """(size, stage, classes) of a name: "base_contrast", "base_sunrgbd", "base_12classes".

    InputError gives the nearest one.
    """
    size, _, stage = name.partition("_")
    count = stage.removesuffix("classes")
    if size in SIZES and stage.endswith("classes") and count.isdecimal() and int(count) > 0:
        return size, stage, int(count)
    if size in SIZES and stage in STAGES:
        return size, stage, 0
    known = [f"{size}_{stage}" for size in SIZES for stage in STAGES]
    raise InputError(f"comae/{name}: no such variant{nearest(name, known)}")


class Published(NamedTuple):
    """One file of weights that the authors published."""

    variant: str
    file: str


# Files of a cloud drive, by the names of the repository's table; no accuracy stands beside them.
WHERE = "github.com/MCG-NJU/CoMAE (README: model zoo, SUN RGB-D)"
LICENCE = "none stated (its ancestors: CC BY-NC 4.0, Apache-2.0)"
PREPROCESSING = "RGB beside HHA, 224 x 224 each, /255, ImageNet mean and deviation"
PUBLISHED = (
    Published("base_contrast", "cpc_stage1"),
    Published("base_autoencoder", "mm_mae_stage2"),
    Published("base_sunrgbd", "finetune"),
)
