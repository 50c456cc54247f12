"""UMT's published networks, and its teachers, as the converter and `jaxvision.load` see them."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.normalisation import normalise
from jaxvision.data.video_clips import evaluation_clip, uniform_test_clips
from jaxvision.errors import InputError
from jaxvision.methods.umt import clip_layouts
from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.methods.umt.language import variants as language_variants
from jaxvision.methods.umt.language.names import BERT_LAYOUTS
from jaxvision.methods.umt.language.published import published_words
from jaxvision.methods.umt.language.weights import video_text_entries
from jaxvision.methods.umt.variants import (
    CLASSES,
    PREPROCESSING,
    PUBLISHED,
    SIZES,
    TEACHERS,
    find_variant,
)
from jaxvision.methods.umt.weights import clip_entries, student_entries
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.weights.official import OfficialModel
from jaxvision.weights.video_transformer_entries import classification_entries

# Of CLIP's text transformers, which stand in the same files as the teachers.
TEXT_WIDTHS = {"b16": 512, "l14": 768}


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name` ("vit_b_k400", "vit_l_pretrain", "clip_l14").

    tensors: the names in a file about to be read. InputError names the nearest variant for an
    unknown one.
    """
    if name.startswith("language_"):
        network, entries = language_variants.build(name, dtype)
        grid = network.vision.grid
        return OfficialModel(f"umt/{name}", network, entries, partial(preprocess, grid=grid))
    if name in ("bert_b", "bert_l"):
        bert, entries = language_variants.build_bert(name[-1], dtype)
        return OfficialModel(f"umt/{name}", bert, entries, words_only, BERT_LAYOUTS)
    variant = find_variant(name)
    model = variant.model(dtype)
    layouts = {}
    if isinstance(model, ClipVision):
        layouts = clip_layouts.LAYOUTS
        text = clip_layouts.text_entries(
            TEXT_WIDTHS[variant.size], model.output_width, model.places
        )
        entries = [*clip_entries(model, cubes=False), *text]
    elif isinstance(model, AlignedEncoder):
        entries = student_entries(model)
    else:
        entries = classification_entries(model)
    return OfficialModel(
        f"umt/{name}", model, entries, partial(preprocess, grid=model.grid), layouts
    )


def network_of(task: Any, name: str) -> OfficialModel:
    """The network of videos and words that a demo's task trains, for `jaxvision.load`."""
    prepare = partial(preprocess, grid=task.model.vision.grid)
    return OfficialModel(name, task.model, video_text_entries(task.model), prepare)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    rows = []
    for row in PUBLISHED:
        shown = {
            "network": f"umt/{row.variant}",
            "file": row.file,
            "from": row.where,
            "licence": row.licence,
            "preprocessing": PREPROCESSING,
            "address": row.address,
        }
        if row.top1 is not None:
            shown |= {"views": row.views, "accuracy": f"{row.top1:.1f} %"}
        rows.append(shown)
    return rows + published_words()


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that a file's tensors belong to, by names, width and classes; None where they are
    none of UMT's or of no published width."""
    if language := language_variants.recognise(tensors):
        return official_model(language)
    for prefix in ("", "visual."):
        if f"{prefix}ln_pre.weight" in tensors:
            return _teacher(tensors[f"{prefix}ln_pre.weight"].shape[0])
    if clip_layouts.is_hugging_face(tensors):
        return _teacher(tensors["vision_model.pre_layrnorm.weight"].shape[0])
    for prefix in ("", "encoder."):
        kernel = tensors.get(f"{prefix}patch_embed.proj.weight")
        sizes = [
            size
            for size, row in SIZES.items()
            if kernel is not None and kernel.shape == (row.width, 3, 1, 16, 16)
        ]
        if not sizes:
            continue
        if "clip_decoder.0.head.weight" in tensors:
            return official_model(f"vit_{sizes[0]}_pretrain")
        if not prefix and "head.bias" in tensors:
            return official_model(_classifier_name(sizes[0], tensors))
    return None


def _teacher(width: int) -> OfficialModel | None:
    names = [name for name, row in TEACHERS.items() if row.width == width]
    return official_model(f"clip_{names[0]}") if names else None


def _classifier_name(size: str, tensors: Mapping[str, np.ndarray]) -> str:
    """The classes are in the head, the size of a clip in its resized positions, if it has any:
    longer than 8 x 224 x 224 means more frames, or the 24 x 24 patches of 384."""
    classes = tensors["head.bias"].shape[0]
    labels = [name for name, count in CLASSES.items() if count == classes]
    name = f"vit_{size}_{labels[0] if labels else f'{classes}classes'}"
    if "pos_embed" not in tensors:
        return name
    tokens = tensors["pos_embed"].shape[1]
    return f"{name}_res384" if tokens == 8 * 24 * 24 else f"{name}_f{tokens // (14 * 14)}"


def words_only(given: object) -> object:
    """BERT's input is made by `WordPieces`. InputError for anything that is to be made one."""
    raise InputError("umt/bert: takes ids of words and a mask, which WordPieces.encode makes")


def preprocess(
    video: UInt8[np.ndarray, "t h w 3"] | str | Path, grid: CubeGrid
) -> Float[np.ndarray, "1 frames height width 3"]:
    """One clip as the network takes it: frames, short side, centre crop, ImageNet normalisation
    (the teacher's, too).

    video: RGB frames or a file. As many frames as the network takes are taken as they are; of any
    other number, one of each of equal parts (the validation rule).
    """
    clip = evaluation_clip(
        video,
        grid.frames,
        grid.image_size,
        lambda total: uniform_test_clips(total, grid.frames, 1)[0],
    )
    return np.asarray(normalise(jnp.asarray(clip)))[None]
