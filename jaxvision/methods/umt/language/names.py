"""Which tensor of a video-text pretraining file fills which of a network for a task, by their
official names; and the two spellings of Google's BERT files."""

import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from jaxvision.weights.official import OtherLayout

_BERT, _HEAD = "text_encoder.bert.", "text_encoder.cls."
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.*)")
_PRETRAINING_ALONE = ("clip_teacher.", "vision_encoder.clip_decoder.")
_PAIRING = ("temp", "vision_proj.", "text_proj.", "itm_head.", "vision_encoder.pool_norm.")
_SPELLINGS = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


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


def is_old_spelling(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether the norms' parameters are called gamma and beta, as in Google's first files."""
    return any(name.endswith("LayerNorm.gamma") for name in tensors)


def from_old_spelling(
    tensors: Mapping[str, np.ndarray], names: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """The same tensors as they are spelt today."""
    return _respelt(tensors, _SPELLINGS)


def to_old_spelling(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `from_old_spelling`."""
    return _respelt(tensors, [(new, old) for old, new in _SPELLINGS])


def _respelt(
    tensors: Mapping[str, np.ndarray], spellings: Iterable[tuple[str, str]]
) -> dict[str, np.ndarray]:
    spelt = {}
    for name, tensor in tensors.items():
        ending = next((pair for pair in spellings if name.endswith(pair[0])), ("", ""))
        spelt[name.removesuffix(ending[0]) + ending[1]] = tensor
    return spelt


BERT_LAYOUTS = {
    "gamma_beta": OtherLayout(is_old_spelling, from_old_spelling, to_old_spelling),
}
