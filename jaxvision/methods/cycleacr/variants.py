"""The published networks, and what a recipe's `model` table says of one."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxvision.errors import InputError, check_choice, check_network
from jaxvision.methods.cycleacr.head import HeadConfig
from jaxvision.methods.cycleacr.instances import InstanceConfig
from jaxvision.methods.cycleacr.interaction import BlockConfig
from jaxvision.methods.cycleacr.model import Detector, PlainMap, SlowFastMaps, SwinMap
from jaxvision.nn.resnet3d_config import NormConfig, dilated_network
from jaxvision.nn.swin3d import Swin3DConfig
from jaxvision.nn.transformer import REMAT_POLICIES
from jaxvision.nn.transformer import BlockConfig as TransformerConfig
from jaxvision.nn.video_transformer import CubeGrid

BACKBONES = ("slowfast", "swin", "vit")
RATIO = 4  # fast frames for a slow one


class Variant(NamedTuple):
    """model: what differs from `model_table`.  stride: between the frames of a clip.  file: as
    published; "": none was.  said: mean average precision on AVA 2.2, in percent."""

    model: Mapping[str, Any]
    stride: int
    pretraining: str
    file: str = ""
    said: float | None = None


VIT = {"backbone": "vit", "frames": 16, "cycle_depth": 1, "levels": 1, "remat": "full"}
SIZES = {
    "s": {"width": 384, "heads": 6, "layers": 12},
    "b": {"width": 768, "heads": 12, "layers": 12},
    "l": {"width": 1024, "heads": 16, "layers": 24},
    "h": {"width": 1280, "heads": 16, "layers": 32},
}
SWIN = {"backbone": "swin", "drop_path": 0.2, "remat": "full"}
VARIANTS = {
    "slowfast_r50": Variant({"depth": 50}, 2, "Kinetics-400"),
    "slowfast_r101_k700": Variant({}, 2, "Kinetics-700", "SlowFast-ResNet101-8x8.pth", 34.0),
    "swin_b_k600": Variant(SWIN, 2, "ImageNet-22k, Kinetics-600"),
    **{
        f"vit_{size}": Variant(VIT | {"drop_path": 0.2} | table, 4, "VideoMAE")
        for size, table in SIZES.items()
        if size != "l"
    },
    "vit_l_k700": Variant(
        VIT | {"drop_path": 0.2} | SIZES["l"],
        4,
        "VideoMAE, Kinetics-700",
        "videomae-vitl-k700-16x4.pth",
        40.6,
    ),
}


def model_table() -> dict[str, Any]:
    """A recipe's `model` table: SlowFast 8x8 R101 and the published head."""
    return {
        "backbone": "slowfast",
        "frames": 32,
        # Of a convolutional backbone.
        "depth": 101,
        "stem_width": 64,
        "frozen_norm": True,
        # Of a Swin transformer.
        "swin_width": 128,
        "swin_depths": (2, 2, 18, 2),
        "swin_heads": (4, 8, 16, 32),
        "swin_window": (8, 7, 7),
        # Of a plain transformer.
        "image_size": 224,
        "patch": 16,
        "width": 768,
        "heads": 12,
        "layers": 12,
        # Of both.
        "drop_path": 0.0,
        "remat": "none",
        # Of the head.
        "cycle": True,
        "cell": 16,
        "bins": 7,
        "head_width": 1024,
        "cycle_depth": 2,
        "levels": 2,
        "people": 20,
        "before": 30,
        "after": 30,
        "step": 1,
        "slots": 5,
        "memory_slots": 10,
        "fusion": "add",
        "hidden": 1024,
        "dropout": 0.2,
    }


def find_variant(name: str) -> Variant:
    """The published network called `name`; InputError names the nearest for an unknown one."""
    check_network("cycleacr", name, VARIANTS)
    return VARIANTS[name]


def build(model: Mapping[str, Any], classes: int, dtype: str, norm_groups: int = 1) -> Detector:
    """The detector of a recipe's `model` table.

    InputError for an unknown backbone, for frames that it cannot divide, and for heads that do not
    divide a stage's width.
    """
    kind, frames = model["backbone"], model["frames"]
    check_choice("model.backbone", kind, BACKBONES)
    check_choice("model.remat", model["remat"], REMAT_POLICIES)
    divisor = RATIO if kind == "slowfast" else 2
    if frames % divisor:
        raise InputError(
            f"model.frames={frames}; expected a multiple of {divisor} for model.backbone={kind}"
        )
    if kind == "slowfast":
        backbone = _slowfast(model, dtype, norm_groups)
    elif kind == "swin":
        backbone = _swin(model, dtype)
    else:
        backbone = _plain(model, dtype)
    block = BlockConfig(width=model["head_width"], dropout=model["dropout"], dtype=jnp.dtype(dtype))
    instances = InstanceConfig(
        levels=model["levels"],
        people=model["people"],
        before=model["before"],
        after=model["after"],
        step=model["step"],
        slots=model["slots"],
        features=backbone.channels,
    )
    head = HeadConfig(
        cycle=model["cycle"],
        block=block,
        depth=model["cycle_depth"],
        instances=instances,
        fusion=model["fusion"],
        bins=model["bins"],
        scale=1 / model["cell"],
        hidden=model["hidden"],
        dropout=model["dropout"],
        classes=classes,
    )
    return Detector(backbone, head)


def _slowfast(model: Mapping[str, Any], dtype: str, norm_groups: int) -> SlowFastMaps:
    network = dilated_network(
        model["depth"],
        norm=NormConfig(frozen=model["frozen_norm"], groups=norm_groups),
        remat=model["remat"] != "none",
        dtype=jnp.dtype(dtype),
    )
    width, fast = model["stem_width"], network.fast
    assert fast is not None
    network = dataclasses.replace(
        network,
        slow=dataclasses.replace(network.slow, width=width),
        fast=dataclasses.replace(fast, width=width // 8),
    )
    return SlowFastMaps(network, model["frames"])


def _swin(model: Mapping[str, Any], dtype: str) -> SwinMap:
    heads, stages = tuple(model["swin_heads"]), len(model["swin_depths"])
    if len(heads) != stages:
        raise InputError(f"model.swin_heads={heads}: expected {stages}, as model.swin_depths has")
    for stage, each in enumerate(heads):
        width = model["swin_width"] * 2**stage
        if width % each:
            raise InputError(
                f"model.swin_heads={heads}: {each} does not divide {width}, the width of stage "
                f"{stage + 1}"
            )
    network = Swin3DConfig(
        width=model["swin_width"],
        depths=tuple(model["swin_depths"]),
        heads=heads,
        window=tuple(model["swin_window"]),
        drop_path=model["drop_path"],
        remat=model["remat"] != "none",
        dtype=jnp.dtype(dtype),
    )
    return SwinMap(network, model["frames"] // network.patch[0])


def _plain(model: Mapping[str, Any], dtype: str) -> PlainMap:
    side = model["image_size"]
    block = TransformerConfig(
        model["width"],
        model["heads"],
        drop_path=model["drop_path"],
        remat=model["remat"],
        dtype=jnp.dtype(dtype),
    )
    grid = CubeGrid(model["frames"], (side, side), patch=model["patch"])
    return PlainMap(grid, block, model["layers"])
