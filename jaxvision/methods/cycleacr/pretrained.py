"""CycleACR's published files, and those that its training starts from."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.actions import clip_frames
from jaxvision.data.fixed_point_resize import opencv_resize
from jaxvision.errors import InputError
from jaxvision.methods.cycleacr.variants import RATIO, VARIANTS, build, find_variant, model_table
from jaxvision.methods.cycleacr.weights import HEAD, backbone_entries, detector_entries
from jaxvision.nn.resnet3d import ResNet3D
from jaxvision.nn.resnet3d_config import NormConfig, strided_network
from jaxvision.weights.caffe2_names import pytorch_name
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OfficialModel
from jaxvision.weights.resnet3d_entries import pyslowfast_entries

CLASSES, SHORT_SIDE, LONG_SIDE, MULTIPLE = 80, 256, 464, 16
MEAN, DEVIATION = (122.7717, 115.9465, 102.9801), 57.375
_SCORES = f"{HEAD}predictor.cls_score.bias"
BY_HAND = (
    "take it from the page on huggingface.co/MiaSanLei that the README of "
    "github.com/MCG-NJU/CycleACR links under 'Model Zoo'"
)
# A tensor that only networks of a kind have.
_SIGNS = (
    ("backbone.slow.res_nl3.res_6.btnk.conv1.conv.weight", "slowfast_r101_k700"),
    ("backbone.slow.conv1.weight", "slowfast_r50"),
    ("backbone.layers.0.blocks.0.attn.relative_position_bias_table", "swin_b_k600"),
)
_WIDTHS = {384: "vit_s", 768: "vit_b", 1024: "vit_l_k700", 1280: "vit_h"}


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name` ("slowfast_r101_k700"); 80 actions."""
    return _model(name, CLASSES, dtype)


def _model(name: str, classes: int, dtype: str) -> OfficialModel:
    variant = find_variant(name)
    table = model_table() | dict(variant.model)
    model = build(table, classes, dtype)
    prepare = partial(
        preprocess,
        frames=table["frames"],
        stride=variant.stride,
        two=table["backbone"] == "slowfast",
    )
    return OfficialModel(
        f"cycleacr/{name}",
        model,
        detector_entries(model),
        prepare,
        class_list="ava" if classes == CLASSES else "",
    )


def network_of(task: Any, name: str) -> OfficialModel:
    """The network that a demo's task trains, for `jaxvision.load`."""
    config = task.config
    prepare = partial(
        preprocess,
        frames=config.model.frames,
        stride=config.task.stride,
        two=config.model.backbone == "slowfast",
        short_side=config.task.short_side,
    )
    return OfficialModel(name, task.model, detector_entries(task.model), prepare)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    rows = []
    for name, variant in VARIANTS.items():
        row = {
            "network": f"cycleacr/{name}",
            "file": variant.file or "none was published",
            "backbone from": variant.pretraining,
            "preprocessing": f"{SHORT_SIDE} px short side, one frame of {variant.stride}, "
            f"(x - {MEAN}) / {DEVIATION}",
            "by hand": BY_HAND if variant.file else "none was published",
        }
        if variant.said is not None:
            row["AVA 2.2"] = f"{variant.said:.1f} % mAP"
        rows.append(row)
    return rows


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that a file's tensors belong to: a detector, or the backbone of one that a
    training starts from; None where they are not CycleACR's."""
    if _SCORES not in tensors or f"{HEAD}feature_extractor.fc1.weight" not in tensors:
        return _backbone(tensors) or _zoo_backbone(tensors)
    classes = len(tensors[_SCORES])
    for sign, name in _SIGNS:
        if sign in tensors:
            return _model(name, classes, "float32")
    embedding = tensors.get("patch_embed.proj.weight")
    name = _WIDTHS.get(len(embedding), "") if embedding is not None else ""
    return _model(name, classes, "float32") if name else None


def _backbone(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """A convolutional or Swin backbone, found by its names' ends as the published code finds them.
    What has no place in it (a classifier, counters of norms that are tables) is carried along."""
    for sign, name in _SIGNS:
        if not any(tensor.endswith(sign.removeprefix("backbone.")) for tensor in tensors):
            continue
        network = _model(name, CLASSES, "float32")
        entries = backbone_entries(network.model, "params/network")
        found = matched([entry.name for entry in entries], list(tensors), head=False)
        taken = set(found.values())
        return OfficialModel(
            f"{network.name}_backbone",
            network.model.backbone,
            [
                *(
                    dataclasses.replace(entry, name=found.get(entry.name, entry.name))
                    for entry in entries
                ),
                *(
                    Entry(tensor, tuple(value.shape), None, dtype=str(value.dtype))
                    for tensor, value in tensors.items()
                    if tensor not in taken
                ),
            ],
            network.preprocess,
        )
    return None


def _zoo_backbone(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """A SlowFast classifier of PySlowFast's zoo, under Caffe2's names (`.pkl`) or its own. What is
    no weight of the backbone (a classifier, learning rate, counters) is carried along."""
    names = {tensor: pytorch_name(tensor) or tensor for tensor in tensors}
    plain = {name: tensor for tensor, name in names.items()}
    if not {"s1.pathway0_stem.conv.weight", "s1.pathway1_stem.conv.weight"} <= plain.keys():
        return None
    network = strided_network(
        101 if "s4.pathway0_res22.branch2.a.weight" in plain else 50,
        two_pathways=True,
        fusion_window=tensors[plain["s1_fuse.conv_f2s.weight"]].shape[2],
        norm=NormConfig(),
    )
    entries = {entry.name: entry for entry in pyslowfast_entries(network, "", "params/network")}
    return OfficialModel(
        f"cycleacr/slowfast_r{network.depth}_backbone",
        ResNet3D(network),
        [
            dataclasses.replace(entries[name], name=tensor)
            if name in entries
            else Entry(tensor, tuple(value.shape), None, dtype=str(value.dtype))
            for (tensor, name), value in zip(names.items(), tensors.values(), strict=True)
        ],
        partial(preprocess, frames=32, stride=2, two=True),
    )


def matched(names: Sequence[str], loaded: Sequence[str], head: bool = True) -> dict[str, str]:
    """{a network's tensor: the file's tensor it takes}, by the published rule: the longest name of
    the file that the network's name ends with. A "module." before all of them is left out.

    head: whether names of the file that begin with "roi_heads." count.
    """
    parallel = all(name.startswith("module.") for name in loaded)
    known = {name.removeprefix("module.") if parallel else name: name for name in loaded}
    usable = [name for name in known if head or not name.startswith("roi_heads.")]
    found = {}
    for name in names:
        ends = [known_name for known_name in usable if name.endswith(known_name)]
        if ends:
            found[name] = known[max(ends, key=len)]
    return found


def preprocess(
    frames_of_clip: UInt8[np.ndarray, "t h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    *,
    frames: int,
    stride: int,
    two: bool,
    short_side: int = SHORT_SIDE,
) -> tuple[tuple[Any, ...], Float[np.ndarray, "1 n 4"], Any]:
    """Clips, boxes and which exist, as `model.apply` takes them before the memory's window.

    frames_of_clip: RGB frames around the key frame, one after the other.  boxes: x1, y1, x2, y2 in
    their pixels.  frames, stride: of the network's clip.  two: of both pathways.
    """
    clip = np.asarray(frames_of_clip)
    if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != np.uint8 or not len(clip):
        raise InputError(
            f"frames of shape {clip.shape} and dtype {clip.dtype}; expected uint8 "
            "[frames, height, width, 3]"
        )
    height, width = clip.shape[1:3]
    new = clip_frames.bounded_size(height, width, short_side, LONG_SIDE)
    scale = np.array([new[1] / width, new[0] / height] * 2, np.float32)
    parts = []
    for numbers in clip_numbers(len(clip), frames, stride, two):
        part = (opencv_resize(clip[numbers], new).astype(np.float32) - MEAN) / DEVIATION
        room = ((0, 0), (0, -new[0] % MULTIPLE), (0, -new[1] % MULTIPLE), (0, 0))
        parts.append(np.pad(part, room)[None].astype(np.float32))
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4) * scale
    return tuple(parts), boxes[None], np.ones((1, len(boxes)), bool)


def clip_numbers(
    total: int, frames: int, stride: int, two: bool, start: int | None = None
) -> list[np.ndarray]:
    """The frames of `total` that each pathway sees, slow first.

    frames, stride: of the fast or only one.  start: the training's draw, less than the slow
    pathway's stride (or the only one's); None: the middle, as in testing.
    """
    if not two:
        return [clip_frames.middle(total, frames, stride, start)]
    span = clip_frames.middle(total, frames * stride, 1)
    slow, fast = clip_frames.slow_and_fast(len(span), RATIO * stride, RATIO, start)
    return [span[slow], span[fast]]
