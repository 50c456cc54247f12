"""VideoMAE as `transformers` lays it out (VideoMAEForPreTraining, VideoMAEForVideoClassification).

The same values under other names, with query, key and value apart. Both directions work on official
tensors, so that our own tree is described once (weights.py).
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from jaxvision.errors import InputError

Tensors = dict[str, np.ndarray]

_FUSED = "attn.qkv.weight"
_PARTS = ("query", "key", "value")
# Official name inside a block -> theirs, in the order in which theirs are saved.
_IN_BLOCK = {
    "attn.q_bias": ("attention.attention.q_bias",),
    "attn.v_bias": ("attention.attention.v_bias",),
    _FUSED: tuple(f"attention.attention.{part}.weight" for part in _PARTS),
    **{
        f"{official}.{leaf}": (f"{theirs}.{leaf}",)
        for official, theirs in {
            "attn.proj": "attention.output.dense",
            "mlp.fc1": "intermediate.dense",
            "mlp.fc2": "output.dense",
            "norm1": "layernorm_before",
            "norm2": "layernorm_after",
        }.items()
        for leaf in ("weight", "bias")
    },
}
_OUTSIDE = {
    "patch_embed.proj": "videomae.embeddings.patch_embeddings.projection",
    "norm": "videomae.layernorm",
    "head": "classifier",
}
# Groups of tensors in the order in which theirs are saved.
_ORDER = (
    "mask_token",
    "videomae.embeddings.",
    "videomae.encoder.",
    "videomae.layernorm.",
    "encoder_to_decoder.",
    "decoder.decoder_layers.",
    "decoder.",
    "fc_norm.",
    "classifier.",
)


def is_hugging_face(names: Iterable[str]) -> bool:
    """Whether tensors carry the names of `transformers`."""
    return any(name.startswith("videomae.") for name in names)


def to_official(tensors: Mapping[str, np.ndarray], names: Iterable[str]) -> Tensors:
    """Official tensors called `names`, from those of `transformers`.

    What is missing stays missing and what is left over keeps its name, for the check of names and
    shapes that follows.
    """
    left = dict(tensors)
    official: Tensors = {}
    for name in names:
        theirs = their_names(name)
        if all(their in left for their in theirs):
            parts = [left.pop(their) for their in theirs]
            official[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return official | left


def from_official(tensors: Mapping[str, np.ndarray]) -> Tensors:
    """Tensors as `transformers` saves them, in its order."""
    renamed: Tensors = {}
    for name, array in tensors.items():
        theirs = their_names(name)
        for their, part in zip(theirs, np.split(np.asarray(array), len(theirs)), strict=True):
            renamed[their] = part if len(theirs) > 1 else np.asarray(array)
    return {name: renamed[name] for name in sorted(renamed, key=_place)}


def their_names(name: str) -> tuple[str, ...]:
    """What an official tensor is called in `transformers`: three names for a fused projection.

    InputError for a tensor that its layout does not have (layer scale, cosine attention).
    """
    block = re.fullmatch(r"((?:encoder\.|decoder\.)?blocks)\.(\d+)\.(.+)", name)
    if block and block[3] in _IN_BLOCK:
        stack = "decoder.decoder_layers" if block[1][0] == "d" else "videomae.encoder.layer"
        return tuple(f"{stack}.{block[2]}.{inside}" for inside in _IN_BLOCK[block[3]])
    stem, _, leaf = name.removeprefix("encoder.").rpartition(".")
    if not block and stem in _OUTSIDE:
        return (f"{_OUTSIDE[stem]}.{leaf}",)
    if not block and name.startswith(_ORDER):
        return (name,)
    raise InputError(f"{name}: the layout of transformers has no such tensor")


def _place(name: str) -> tuple[int, ...]:
    """Sorts their names as they are saved."""
    group = next(i for i, start in enumerate(_ORDER) if name.startswith(start))
    layer = re.search(r"\.(?:layer|decoder_layers)\.(\d+)\.(.+)", name)
    if layer is None:
        # Norm before head in the decoder; a weight before its bias.
        return (group, "head" in name, name.endswith("bias"))
    inside = [their for theirs in _IN_BLOCK.values() for their in theirs]
    return (group, int(layer[1]), inside.index(layer[2]))
