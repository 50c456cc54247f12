"""VideoMAE's published networks as the converter and `jaxvision.load` see them."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.normalisation import normalise
from jaxvision.data.video_clips import dense_validation_clip, evaluation_clip
from jaxvision.methods.videomae import hugging_face
from jaxvision.methods.videomae.variants import (
    CLASS_LISTS,
    CLASSES,
    PREPROCESSING,
    PUBLISHED,
    SIZES,
    classification_model,
    find_variant,
    pretraining_model,
)
from jaxvision.methods.videomae.weights import pretraining_entries
from jaxvision.nn.video_transformer import CubeGrid, VideoClassifier, VideoEncoder
from jaxvision.weights.official import OfficialModel, OtherLayout
from jaxvision.weights.video_transformer_entries import classification_entries

LAYOUTS = {
    "hugging_face": OtherLayout(
        hugging_face.is_hugging_face, hugging_face.to_official, hugging_face.from_official
    )
}
STRIDE = 4
# The first tensor of an encoder, officially and in transformers.
_THEIR_NORM = "videomae.layernorm.weight"
_EMBEDDING = ("patch_embed.proj.weight", "patch_embeddings.projection.weight")


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name` ("vit_b_k400").

    tensors: the names in a file about to be read; the decoder's depth, which releases differ in,
    is taken from there. InputError names the nearest variant for an unknown one.
    """
    variant = find_variant(name)
    model = variant.model(dtype)
    if isinstance(model, VideoClassifier):
        entries = classification_entries(model)
    else:
        if depth := decoder_depth(tensors):
            model = pretraining_model(variant.size, decoder_depth=depth, dtype=dtype)
        entries = pretraining_entries(model)
    return OfficialModel(
        f"videomae/{name}",
        model,
        entries,
        partial(preprocess, grid=model.grid),
        LAYOUTS,
        class_list=CLASS_LISTS.get(str(variant.labels), ""),
    )


def network_of(task: Any, name: str) -> OfficialModel:
    """The network that a demo's task trains, for `jaxvision.load`."""
    prepare = partial(preprocess, grid=task.model.grid, stride=1)
    return OfficialModel(name, task.model, pretraining_entries(task.model), prepare)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    rows = []
    for row in PUBLISHED:
        shown = {
            "network": f"videomae/{row.variant}",
            "file": row.file,
            "from": row.release.where,
            "licence": row.release.licence,
            "preprocessing": PREPROCESSING,
            "address": row.address,
            "by hand": row.release.by_hand,
        }
        stated = [f"{percent:.1f}" for percent in row.accuracy if percent is not None]
        if stated:
            shown |= {"views": str(row.protocol), "accuracy": f"{' / '.join(stated)} %"}
        rows.append(shown)
    return rows


def decoder_depth(names: Iterable[str]) -> int:
    """Blocks of the decoder whose tensors are called `names`; 0 where there are none."""
    starts = ("decoder.blocks.", "decoder.decoder_layers.")
    return len({name.split(".")[2] for name in names if name.startswith(starts)})


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that tensors of a file belong to, by their width, classes and decoder; without
    head and decoder an encoder, to start a fine-tuning from. None where they are not VideoMAE's or
    of no published width."""
    embedding = [name for name in tensors if name.endswith(_EMBEDDING)]
    if len(embedding) != 1:
        return None
    shape = tensors[embedding[0]].shape
    sizes = [
        size for size, row in SIZES.items() if (row.width, 3, 2, row.patch, row.patch) == shape
    ]
    if not sizes:
        return None
    if "mask_token" in tensors:
        return official_model(f"vit_{sizes[0]}_pretrain", tensors)
    heads = [tensors[name] for name in ("head.bias", "classifier.bias") if name in tensors]
    if not heads:
        return _encoder(sizes[0], tensors)
    classes = heads[0].shape[0]
    labels = [name for name, count in CLASSES.items() if count == classes]
    return official_model(f"vit_{sizes[0]}_{labels[0] if labels else f'{classes}classes'}", tensors)


def _encoder(size: str, names: Iterable[str]) -> OfficialModel:
    """What files without head or decoder hold: the encoder, and a norm where there is one."""
    names = set(names)
    pretrained = pretraining_model(size)
    encoder = VideoEncoder(pretrained.grid, pretrained.encoder_block, pretrained.encoder_depth)
    if "patch_embed.proj.weight" in names:  # a classifier's names
        pooling = "mean" if "fc_norm.weight" in names else "first"
        whole = classification_model(size, 1).clone(pooling=pooling)
        entries = [e for e in classification_entries(whole) if not e.name.startswith("head.")]
    else:
        own = ("params/encoder/", "params/encoder_norm/")
        entries = [e for e in pretraining_entries(pretrained) if str(e.path).startswith(own)]
    if not names & {"encoder.norm.weight", "norm.weight", "fc_norm.weight", _THEIR_NORM}:
        entries = [e for e in entries if "blocks." in e.name or "patch_embed." in e.name]
    name = f"videomae/vit_{size}_encoder"
    return OfficialModel(name, encoder, entries, partial(preprocess, grid=encoder.grid), LAYOUTS)


def preprocess(
    video: UInt8[np.ndarray, "t h w 3"] | str | Path, grid: CubeGrid, stride: int = STRIDE
) -> Float[np.ndarray, "1 frames height width 3"]:
    """One clip as the network takes it: frames, short side, centre crop, ImageNet normalisation.

    video: RGB frames or a file. As many frames as the network takes are taken as they are; of any
    other number, the clip in the middle by the validation rule, `stride` frames apart.
    """
    clip = evaluation_clip(
        video,
        grid.frames,
        grid.image_size,
        lambda total: dense_validation_clip(total, grid.frames, stride),
    )
    return np.asarray(normalise(jnp.asarray(clip)))[None]
