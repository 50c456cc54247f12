"""EMA-VFI's published networks as the converter and `jaxvision.load` see them."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.picture_files import read_picture
from jaxvision.errors import InputError, check_network
from jaxvision.methods.emavfi.model import DIVISOR, InterpolationNetwork
from jaxvision.methods.emavfi.variants import VARIANTS
from jaxvision.methods.emavfi.weights import CACHED, entries
from jaxvision.ops.padding import Padder
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OfficialModel

BY_HAND = (
    "take it from the folder drive.google.com/drive/folders/16jUa3HkQ85Z5lb5gce1yoaWkP-rdCd0o "
    "(README of github.com/MCG-NJU/EMA-VFI, 'Play with Demos')"
)
_FIRST = "feature_bone.block1.conv.0.weight"


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name` ("small", "base", "small_t", "base_t").

    tensors: what a file about to be read holds; attention masks cached in it are carried along.
    """
    check_network("emavfi", name, VARIANTS)
    config = dataclasses.replace(VARIANTS[name].network, dtype=jnp.dtype(dtype))
    shapes = {n: t.shape for n, t in tensors.items()} if isinstance(tensors, Mapping) else {}
    cached = [
        Entry(tensor, tuple(shapes.get(tensor, ())), None)
        for tensor in tensors
        if any(part in tensor for part in CACHED)
    ]
    model = InterpolationNetwork(config)
    return OfficialModel(f"emavfi/{name}", model, [*entries(config), *cached], preprocess)


def network_of(task: Any, name: str) -> OfficialModel:
    """The network that a demo's task trains, for `jaxvision.load`."""
    return OfficialModel(name, task.model, list(entries(task.model.config)), preprocess)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    return [
        {
            "network": f"emavfi/{name}",
            "file": variant.file,
            "licence": "Apache-2.0 (repository)",
            "for": "any t in (0, 1)" if variant.any_time else "t = 0.5",
            "parameters": f"{variant.parameters:,}",
            "by hand": BY_HAND,
        }
        for name, variant in VARIANTS.items()
    ]


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that a file's tensors belong to, by their width; None where they are not
    EMA-VFI's. Files for any t hold the same tensors as those for t = 0.5."""
    if _FIRST not in tensors:
        return None
    width = tensors[_FIRST].shape[0]
    names = [name for name, variant in VARIANTS.items() if variant.network.width == width]
    return official_model(names[0], tensors) if names else None


def preprocess(
    pair: UInt8[np.ndarray, "2 h w 3"] | Sequence[str | Path],
) -> Float[np.ndarray, "1 2 h2 w2 3"]:
    """Two RGB frames, or two picture files, as the network takes them: BGR in [0, 1], edges
    repeated until both sides are multiples of 16. InputError for frames of different size."""
    if isinstance(pair, np.ndarray):
        frames = pair
    else:
        read = [np.asarray(read_picture(path)) for path in pair]
        if len({frame.shape for frame in read}) != 1 or len(read) != 2:
            sizes = ", ".join(f"{f.shape[1]}x{f.shape[0]}" for f in read)
            raise InputError(f"frames of {sizes}: expected two of one size")
        frames = np.stack(read)
    if frames.ndim != 4 or frames.shape[::3] != (2, 3) or frames.dtype != np.uint8:
        raise InputError(
            f"frames of shape {frames.shape} and dtype {frames.dtype}; expected uint8 "
            "[2, height, width, 3]"
        )
    height, width = frames.shape[1:3]
    padded = Padder.for_size(height, width, DIVISOR).pad(jnp.asarray(frames[None, ..., ::-1]))
    return np.asarray(padded, np.float32) / 255
