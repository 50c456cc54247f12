"""The published networks (config_files/ of the paper's repository), and what is known of each."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxvision.errors import InputError, check_choice, check_network
from jaxvision.methods.stmixer.decoder import DecoderConfig
from jaxvision.methods.stmixer.model import ConvolutionalMaps, Detector
from jaxvision.nn.resnet3d_config import NonLocalConfig, NormConfig, strided_network
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, TransformerMap

BACKBONES = ("slowonly", "slowfast", "vit")


class Variant(NamedTuple):
    """model: what differs from `model_table`.  stride: between a clip's frames.  said: mean average
    precision on AVA 2.2 by the paper, in percent; None: not known to us.  drive: where the model
    zoo of their README links its file on drive.google.com."""

    model: Mapping[str, Any]
    stride: int
    pretraining: str
    drive: str
    said: float | None = None


VIT = {"backbone": "vit", "frames": 16, "drop_path": 0.2, "remat": "full"}
VARIANTS = {
    "slowonly_r50_k400": Variant(
        {"backbone": "slowonly", "frames": 4, "temporal_points": 4},
        16,
        "Kinetics-400",
        "1qJdnCGwi5NeqpHFYxPpIixLY6Mpsuync",
    ),
    "slowfast_r50_k400": Variant(
        {"backbone": "slowfast", "fusion_window": 7},
        2,
        "Kinetics-400",
        "1pwXBC-g-OS71wzd9lxHDITASRw1cxRWm",
    ),
    "slowfast_r101_nl_k600": Variant(
        {"backbone": "slowfast", "depth": 101, "non_local": "mean"},
        2,
        "Kinetics-600",
        "1oouF7IZFxs-vXhUDXSkLpy7FE5oh6Vp2",
    ),
    "vit_b_k400": Variant(VIT, 4, "VideoMAE, Kinetics-400", "1hVni60LLWHZBaaNkccrrEAo1xFEM2ZPV"),
    "vit_b_k710_k400": Variant(
        VIT, 4, "VideoMAE V2, Kinetics-710 and 400", "1S5_mePN9lmkIyW_kRcTESfeitKomqW-y", 36.1
    ),
}


def model_table() -> dict[str, Any]:
    """A recipe's `model` table: SlowFast 8x8 R50 and the published head."""
    return {
        "backbone": "slowfast",
        "frames": 32,
        # Of a convolutional backbone.
        "depth": 50,
        "fusion_window": 5,
        "non_local": "none",
        "stem_width": 64,
        "frozen_norm": False,
        # Of a transformer.
        "image_size": 224,
        "width": 768,
        "heads": 12,
        "layers": 12,
        "layer_scale": 0.0,
        "drop_path": 0.0,
        "remat": "none",
        # Of the decoder.
        "queries": 100,
        "query_width": 256,
        "stages": 6,
        "query_heads": 8,
        "hidden": 2048,
        "spatial_points": 32,
        "temporal_points": 8,
        "groups": 4,
        "multiplier": 4,
    }


def find_variant(name: str) -> Variant:
    """The published network called `name`; InputError names the nearest for an unknown one."""
    check_network("stmixer", name, VARIANTS)
    return VARIANTS[name]


def build(model: Mapping[str, Any], classes: int, dtype: str, norm_groups: int = 1) -> Detector:
    """The detector of a recipe's `model` table.

    InputError for an unknown backbone, for frames that its temporal points do not fit, and for an
    odd number of frames where cubes are two frames long.
    """
    kind, frames = model["backbone"], model["frames"]
    check_choice("model.backbone", kind, BACKBONES)
    if kind == "vit" and frames % 2:
        raise InputError(f"model.frames={frames}; expected an even number: cubes have two frames")
    seen = frames // {"slowonly": 1, "slowfast": 4, "vit": 2}[kind]
    if seen != model["temporal_points"]:
        raise InputError(
            f"model.temporal_points={model['temporal_points']}: {frames} frames become {seen} of "
            f"the feature space; expected model.temporal_points={seen}"
        )
    decoder = DecoderConfig(
        queries=model["queries"],
        width=model["query_width"],
        stages=model["stages"],
        heads=model["query_heads"],
        hidden=model["hidden"],
        frames=seen,
        points=model["spatial_points"],
        groups=model["groups"],
        multiplier=model["multiplier"],
        actions=classes,
        dtype=jnp.dtype(dtype),
    )
    if kind == "vit":
        return Detector(_transformer(model, dtype), decoder, True)
    return Detector(_convolutional(model, dtype, norm_groups), decoder, False)


def _transformer(model: Mapping[str, Any], dtype: str) -> TransformerMap:
    side = model["image_size"]
    block = BlockConfig(
        model["width"],
        model["heads"],
        layer_scale=model["layer_scale"],
        drop_path=model["drop_path"],
        remat=model["remat"],
        dtype=jnp.dtype(dtype),
    )
    grid = CubeGrid(model["frames"], (side, side))
    return TransformerMap(grid, block, model["layers"], flat_positions=True)


def _convolutional(model: Mapping[str, Any], dtype: str, norm_groups: int) -> ConvolutionalMaps:
    weighting = model["non_local"]
    check_choice("model.non_local", weighting, ("none", "mean", "softmax"))
    network = strided_network(
        model["depth"],
        two_pathways=model["backbone"] == "slowfast",
        fusion_window=model["fusion_window"],
        non_local=None
        if weighting == "none"
        else NonLocalConfig(weighting=weighting, pool=(2, 2, 2)),
        norm=NormConfig(frozen=model["frozen_norm"], groups=norm_groups),
        remat=model["remat"] != "none",
        dtype=jnp.dtype(dtype),
    )
    width = model["stem_width"]
    fast = network.fast and dataclasses.replace(network.fast, width=width // 8)
    return ConvolutionalMaps(
        dataclasses.replace(network, slow=dataclasses.replace(network.slow, width=width), fast=fast)
    )
