"""Other layouts in which the teacher's weights are found: Hugging Face's, and OpenAI's `visual.`.

Both directions work on official tensors (those of the image transformer that OpenAI's model holds),
so that our own tree is described once (weights.py).
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OtherLayout

Tensors = dict[str, np.ndarray]

# Of CLIP's text transformer.
VOCABULARY, CONTEXT, TEXT_DEPTH = 49408, 77, 12

_VISUAL = "visual."
_PARTS = ("q", "k", "v")
_PROJECTION = "visual_projection.weight"  # Linear, so the transpose of `proj`
# Official name -> theirs, where a tensor stays as it is.
_OUTSIDE = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "ln_pre.weight": "vision_model.pre_layrnorm.weight",  # their spelling
    "ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "ln_post.weight": "vision_model.post_layernorm.weight",
    "ln_post.bias": "vision_model.post_layernorm.bias",
}
_IN_BLOCK = {
    f"{official}.{leaf}": f"{theirs}.{leaf}"
    for official, theirs in {
        "attn.out_proj": "self_attn.out_proj",
        "ln_1": "layer_norm1",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "ln_2": "layer_norm2",
    }.items()
    for leaf in ("weight", "bias")
}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")


def is_hugging_face(tensors: Mapping[str, np.ndarray]) -> bool:
    return _OUTSIDE["class_embedding"] in tensors


def from_hugging_face(tensors: Mapping[str, np.ndarray], names: Iterable[str]) -> Tensors:
    """Official tensors called `names`; what has no place (the text transformer) keeps its name."""
    left, official = dict(tensors), {}
    for name in names:
        theirs = _their_names(name)
        if theirs and all(their in left for their in theirs):
            parts = [np.asarray(left.pop(their)) for their in theirs]
            official[name] = np.concatenate(parts) if len(parts) > 1 else parts[0]
            if name == "proj":
                official[name] = official[name].T
    return official | left


def to_hugging_face(tensors: Mapping[str, np.ndarray]) -> Tensors:
    """Official tensors under their names, sorted by name as .safetensors files are."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        theirs = _their_names(name)
        if len(theirs) == len(_PARTS):
            found |= dict(zip(theirs, np.split(np.asarray(tensor), len(_PARTS)), strict=True))
        elif theirs:
            found[theirs[0]] = np.asarray(tensor).T if name == "proj" else tensor
        else:
            found[name] = tensor
    return dict(sorted(found.items()))


def _their_names(name: str) -> tuple[str, ...]:
    """Three for a fused projection, none for what they do not have."""
    if name == "proj":
        return (_PROJECTION,)
    if name in _OUTSIDE:
        return (_OUTSIDE[name],)
    block = _BLOCK.fullmatch(name)
    if block is None:
        return ()
    stem = f"vision_model.encoder.layers.{block[1]}"
    fused = re.fullmatch(r"attn\.in_proj_(weight|bias)", block[2])
    if fused:
        return tuple(f"{stem}.self_attn.{part}_proj.{fused[1]}" for part in _PARTS)
    return (f"{stem}.{_IN_BLOCK[block[2]]}",) if block[2] in _IN_BLOCK else ()


def is_visual(tensors: Mapping[str, np.ndarray]) -> bool:
    return f"{_VISUAL}class_embedding" in tensors


def from_visual(tensors: Mapping[str, np.ndarray], names: Iterable[str]) -> Tensors:
    """Without the prefix, in the order of `names`. What has no place keeps its name, with "text."
    before it where that would be one of the image transformer's."""
    places = {_VISUAL + name: name for name in names}
    official = {name: tensors[theirs] for theirs, name in places.items() if theirs in tensors}
    for name, tensor in tensors.items():
        if name not in places:
            official[f"text.{name}" if name in official else name] = tensor
    return official


def to_visual(tensors: Mapping[str, np.ndarray]) -> Tensors:
    return {_VISUAL + name: tensor for name, tensor in tensors.items()}


LAYOUTS = {
    "hugging_face": OtherLayout(is_hugging_face, from_hugging_face, to_hugging_face),
    "visual": OtherLayout(is_visual, from_visual, to_visual),
}


def text_entries(width: int, output_width: int, places: int) -> list[Entry]:
    """What Hugging Face's file of the whole model holds beside the image transformer: the text
    transformer, the temperature, counters. Nothing here uses them; a file may lack them."""
    block = {
        **{f"self_attn.{part}_proj": (width, width) for part in ("k", "v", "q", "out")},
        "layer_norm1": (width,),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
        "layer_norm2": (width,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "logit_scale": (),
        "text_model.embeddings.token_embedding.weight": (VOCABULARY, width),
        "text_model.embeddings.position_embedding.weight": (CONTEXT, width),
        "text_model.final_layer_norm.weight": (width,),
        "text_model.final_layer_norm.bias": (width,),
        "text_projection.weight": (output_width, width),
    }
    for layer in range(TEXT_DEPTH):
        for part, shape in block.items():
            name = f"text_model.encoder.layers.{layer}.{part}"
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    counters = {"text_model": CONTEXT, "vision_model": places + 1}
    return [
        *(Entry(name, shape, None, optional=True) for name, shape in shapes.items()),
        *(
            Entry(f"{part}.embeddings.position_ids", (1, n), None, optional=True, dtype="int64")
            for part, n in counters.items()
        ),
    ]
