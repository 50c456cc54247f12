"""Which tensor of a video-text pretraining file fills which of a network for a task, by their
official names; and Google's BERT files under the names that pretraining gave them."""

import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

_BERT, _HEAD = "text_encoder.bert.", "text_encoder.cls."
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.*)")
_PRETRAINING_ALONE = ("clip_teacher.", "vision_encoder.clip_decoder.")
_PAIRING = ("temp", "vision_proj.", "text_proj.", "itm_head.", "vision_encoder.pool_norm.")
_NOT_OF_BERT = ("bert.pooler.", "cls.seq_relationship.")


def retrieval_names(names: Iterable[str]) -> dict[str, str]:
    """{name in a retrieval network: name in pretraining}. The teacher, the alignment heads and the
    masked-word head have no place there. Names that stay come first."""
    used = [name for name in names if not name.startswith((*_PRETRAINING_ALONE, _HEAD))]
    used.sort(key=lambda name: name.startswith(_BERT))
    return {name.replace(_BERT, "text_encoder."): name for name in used}


def question_answering_names(names: Iterable[str], text_layers: int) -> dict[str, str]:
    """{name in a question answering network: name in pretraining}.

    The question encoder is the whole text encoder; the decoder of answers starts from the layers
    behind the first `text_layers`, the embeddings and the masked-word head, all of them copies.
    """
    return {
        ours: name
        for name in names
        if not name.startswith((*_PRETRAINING_ALONE, *_PAIRING))
        for ours in _answering(name, text_layers)
    }


def _answering(name: str, text_layers: int) -> Iterator[str]:
    if name.startswith(_HEAD):
        yield name.replace("text_encoder.", "text_decoder.")
        return
    if not name.startswith(_BERT):
        yield name
        return
    rest = name.removeprefix(_BERT)
    yield f"text_encoder.{rest}"
    layer = _LAYER.fullmatch(rest)
    if layer is None:
        yield f"text_decoder.bert.{rest}"
    elif int(layer[1]) >= text_layers:
        row = int(layer[1]) - text_layers
        yield f"text_decoder.bert.encoder.layer.{row}.{layer[2]}"


def from_bert_file(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Google's BERT under its names in a pretraining file.

    Older files spell the norms' parameters gamma and beta; the pooler and the next-sentence head
    are left out; cross-attention is not in such a file at all.
    """
    renamed = {}
    for name, tensor in tensors.items():
        if name.startswith(_NOT_OF_BERT):
            continue
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        renamed[f"text_encoder.{name}"] = tensor
    return renamed
