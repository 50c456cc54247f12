"""UMT's networks of videos and language by name, for the converter and `jaxvision.load`."""

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvision.errors import InputError, nearest
from jaxvision.methods.umt.clip import ClipVision, build_teacher
from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.methods.umt.language.question_answering import VideoQuestions
from jaxvision.methods.umt.language.text import LanguageModel, TextConfig
from jaxvision.methods.umt.language.text_weights import bert_entries
from jaxvision.methods.umt.language.video_text import VideoText
from jaxvision.methods.umt.language.weights import question_entries, video_text_entries
from jaxvision.methods.umt.variants import (
    RETURNED_LAYERS,
    SIZES,
    TEACHERS,
    student_table,
    teacher_table,
)
from jaxvision.nn.bert_layers import BertConfig
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import block_of, grid_of
from jaxvision.weights.mapping import Entry

KINDS = ("pretrain", "retrieval", "answers")
FRAMES = {"pretrain": 4, "retrieval": 12, "answers": 12}
VARIANTS = tuple(f"language_{size}_{kind}" for size in SIZES for kind in KINDS)
_NAME = re.compile(r"language_([bl])_([a-z]+)(?:_f([1-9]\d*))?")
# Which tensor tells a kind, the first that is there.
_MARKS = {
    "answers": "text_decoder.bert.embeddings.word_embeddings.weight",
    "pretrain": "text_encoder.bert.embeddings.word_embeddings.weight",
    "retrieval": "text_encoder.embeddings.word_embeddings.weight",
    "bert": "bert.embeddings.word_embeddings.weight",
}


def text_table(size: str) -> dict[str, Any]:
    """The `language` table of a published size: BERT base with 3 fusion layers, large with 5."""
    layers = {"b": (9, 3), "l": (19, 5)}
    if size not in layers:
        raise InputError(f"size {size!r}{nearest(size, layers)}")
    row = SIZES[size]
    return {
        "vocabulary": 30522,
        "positions": 512,
        "width": row.width,
        "heads": row.heads,
        "hidden": 4 * row.width,
        "text_layers": layers[size][0],
        "fusion_layers": layers[size][1],
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "shared_width": TEACHERS[row.teacher].output_width,
    }


def text_of(table: Mapping[str, Any], dtype: str) -> TextConfig:
    """The text tower that a `language` table describes."""
    return TextConfig(
        vocabulary=table["vocabulary"],
        positions=table["positions"],
        text_layers=table["text_layers"],
        fusion_layers=table["fusion_layers"],
        layer=BertConfig(
            width=table["width"],
            heads=table["heads"],
            hidden=table["hidden"],
            dropout=table["dropout"],
            attention_dropout=table["attention_dropout"],
            dtype=jnp.dtype(dtype),
        ),
    )


def vision_of(
    model: Mapping[str, Any],
    output_width: int,
    dtype: str,
    *,
    returned: int = 0,
    pool_norm: bool = True,
) -> AlignedEncoder:
    """The vision tower that a `model` table describes: pictures have positions of their own, and
    aligned features are normalised by the loss."""
    block: BlockConfig = block_of(model, dtype)
    return AlignedEncoder(
        grid_of(model),
        block,
        model["depth"],
        output_width,
        returned=returned,
        interval=model["interval"],
        head_epsilon=1e-5,
        normalise=False,
        pool_norm=pool_norm,
        image_table=True,
    )


def build_bert(size: str, dtype: str = "float32") -> tuple[LanguageModel, list[Entry]]:
    """Google's BERT, base or large, as the text tower starts from it: no cross-attention yet."""
    text = text_of(text_table(size), dtype)
    return LanguageModel(text), bert_entries(text)


def find(name: str) -> tuple[str, str, int]:
    """(size, kind, frames) of "language_b_retrieval" or "language_l_answers_f8". InputError names
    the nearest variant."""
    found = _NAME.fullmatch(name)
    if found is None or found[2] not in KINDS:
        raise InputError(f"umt/{name}: no such variant{nearest(name, VARIANTS)}")
    return found[1], found[2], int(found[3] or FRAMES[found[2]])


def build(name: str, dtype: str = "float32") -> tuple[VideoText | VideoQuestions, list[Entry]]:
    """The network called `name` and its official tensors."""
    size, kind, frames = find(name)
    table = student_table(size) | {"frames": frames}
    text, shared = text_of(text_table(size), dtype), text_table(size)["shared_width"]
    if kind == "answers":
        asked = VideoQuestions(vision_of(table, shared, dtype, pool_norm=False), text)
        return asked, question_entries(asked)
    if kind == "retrieval":
        paired = VideoText(vision_of(table, shared, dtype), text, shared)
        return paired, video_text_entries(paired)
    vision = vision_of(table, shared, dtype, returned=RETURNED_LAYERS)
    paired = VideoText(vision, text, shared, word_head=True)
    return paired, video_text_entries(paired, teacher_of(size, frames, dtype))


def teacher_of(size: str, frames: int, dtype: str) -> ClipVision:
    """The teacher that a pretraining file carries along."""
    return build_teacher(teacher_table(SIZES[size].teacher), frames, dtype, normalise=False)


def recognise(tensors: Mapping[str, np.ndarray]) -> str | None:
    """The variant that a file's tensors belong to; None where they are of no published width."""
    for kind, mark in _MARKS.items():
        if mark in tensors:
            width = tensors[mark].shape[-1]
            sizes = [size for size, row in SIZES.items() if row.width == width]
            if not sizes:
                return None
            return f"bert_{sizes[0]}" if kind == "bert" else f"language_{sizes[0]}_{kind}"
    return None
