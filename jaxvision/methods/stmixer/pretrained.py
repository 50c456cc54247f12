"""STMixer's published networks as the converter and `jaxvision.load` see them."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.actions import clip_frames
from jaxvision.data.fixed_point_resize import opencv_resize
from jaxvision.data.video import Video
from jaxvision.errors import InputError
from jaxvision.methods.stmixer.variants import VARIANTS, build, find_variant, model_table
from jaxvision.methods.stmixer.weights import detector_entries
from jaxvision.weights.official import OfficialModel

CLASSES, SHORT_SIDE, MULTIPLE = 80, 256, 32
MEAN, DEVIATION = 0.45, 0.225
_QUERIES = "stm_head.init_spatial_queries.weight"
_ACTIONS = "stm_head.decoder_stages.0.fc_action.bias"
# A tensor that only networks of a kind have.
_SIGNS = (
    ("backbone.s4.pathway0_nonlocal6.conv_theta.weight", "slowfast_r101_nl_k600"),
    ("backbone.s1.pathway1_stem.conv.weight", "slowfast_r50_k400"),
    ("backbone.s1.pathway0_stem.conv.weight", "slowonly_r50_k400"),
    ("backbone.patch_embed.proj.weight", "vit_b_k400"),
)


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name` ("slowfast_r50_k400"); 80 actions."""
    return _model(name, CLASSES, dtype)


def _model(name: str, classes: int, dtype: str) -> OfficialModel:
    variant = find_variant(name)
    table = model_table() | dict(variant.model)
    model = build(table, classes, dtype)
    prepare = partial(preprocess, frames=table["frames"], stride=variant.stride)
    return OfficialModel(
        f"stmixer/{name}",
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
        short_side=config.task.test_short_side,
    )
    return OfficialModel(name, task.model, detector_entries(task.model), prepare)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    rows = []
    for name, variant in VARIANTS.items():
        row = {
            "network": f"stmixer/{name}",
            "file": "of the model zoo of MCG-NJU/STMixer",
            "backbone from": variant.pretraining,
            "preprocessing": f"{SHORT_SIDE} px short side, one frame of {variant.stride}, "
            f"(x / 255 - {MEAN}) / {DEVIATION}",
            "by hand": f"take it from drive.google.com/file/d/{variant.drive} (README of "
            "github.com/MCG-NJU/STMixer, 'Model Zoo')",
        }
        if variant.said is not None:
            row["AVA 2.2"] = f"{variant.said:.1f} % mAP (paper)"
        rows.append(row)
    return rows


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that a file's tensors belong to; None where they are not STMixer's."""
    if _QUERIES not in tensors or _ACTIONS not in tensors:
        return None
    for sign, name in _SIGNS:
        if sign in tensors:
            return _model(name, len(tensors[_ACTIONS]), "float32")
    return None


def preprocess(
    video: UInt8[np.ndarray, "t h w 3"] | str | Path,
    frames: int,
    stride: int,
    short_side: int = SHORT_SIDE,
) -> tuple[Float[np.ndarray, "1 t h w 3"], Float[np.ndarray, "1 4"]]:
    """A clip and its size as the network takes them: `model.apply(variables, *preprocess(x))`.

    video: RGB frames or a file. As many frames as the network takes are taken as they are; of any
    other number, those around the middle, `stride` apart.
    """
    if isinstance(video, (str, Path)):
        with Video(video) as film:
            clip = film.frames(_numbers(len(film), frames, stride))
    else:
        clip = np.asarray(video)
        if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != np.uint8:
            raise InputError(
                f"frames of shape {clip.shape} and dtype {clip.dtype}; expected uint8 "
                "[frames, height, width, 3]"
            )
        clip = clip[_numbers(len(clip), frames, stride)]
    clip = opencv_resize(clip, clip_frames.rounded_size(clip.shape[1], clip.shape[2], short_side))
    height, width = clip.shape[1:3]
    values = (clip.astype(np.float32) / 255 - MEAN) / DEVIATION
    padding: Any = ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0))
    size = np.array([[width, height] * 2], np.float32)
    return np.pad(values, padding)[None], size


def _numbers(total: int, frames: int, stride: int) -> np.ndarray:
    if total == 0:
        raise InputError("no frames")
    if total == frames:
        return np.arange(frames)
    return clip_frames.around(total // 2, frames, stride, total)
