"""CoMAE's published networks as the converter and `jaxvision.load` see them."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxvision.data.normalisation import IMAGENET, normalise
from jaxvision.data.rgbd_transforms import EvaluationPair
from jaxvision.methods.comae import variants
from jaxvision.methods.comae.inputs import read_pair
from jaxvision.methods.comae.model import MultiModalAutoencoder, PatchContrast
from jaxvision.methods.comae.weights import (
    autoencoder_entries,
    classifier_entries,
    contrast_entries,
)
from jaxvision.stores.stored_path import path_to
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OfficialModel


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name` ("base_sunrgbd"). InputError names the nearest one."""
    size, stage, classes = variants.find_variant(name)
    model = variants.network(size, stage, classes, dtype)
    read = partial(preprocess, side=model.grid.side)
    return OfficialModel(f"comae/{name}", model, entries_of(model), read)


def network_of(task: Any, name: str) -> OfficialModel:
    """The network that a demo's task trains, for `jaxvision.load`."""
    prepare = partial(preprocess, side=task.model.grid.side)
    return OfficialModel(name, task.model, entries_of(task.model), prepare)


def entries_of(model: variants.Network) -> list[Entry]:
    """The official tensors of a network of any stage."""
    if isinstance(model, PatchContrast):
        return contrast_entries(model)
    if isinstance(model, MultiModalAutoencoder):
        return autoencoder_entries(model)
    return classifier_entries(model)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    return [
        {
            "network": f"comae/{row.variant}",
            "file": row.file,
            "from": variants.WHERE,
            "licence": variants.LICENCE,
            "preprocessing": variants.PREPROCESSING,
            "by hand": "take it from the cloud drive that the README of github.com/MCG-NJU/CoMAE "
            "links under 'Checkpoints on SUN RGB-D'",
        }
        for row in variants.PUBLISHED
    ]


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that tensors of a file belong to, by their width and stage; None where they are
    not CoMAE's or of no published width."""
    embedding = tensors.get("patch_embed2.proj.weight")
    if embedding is None or embedding.shape[1:] != (3, 16, 16):
        return None
    sizes = [name for name, row in variants.SIZES.items() if row.width == embedding.shape[0]]
    if not sizes:
        return None
    if "logit_scale" in tensors:
        return official_model(f"{sizes[0]}_contrast")
    if "mask_token" in tensors:
        return official_model(f"{sizes[0]}_autoencoder")
    if "head.bias" not in tensors or "fc_norm.weight" not in tensors:
        return None
    classes = tensors["head.bias"].shape[0]
    named = [name for name, count in variants.CLASSES.items() if count == classes]
    return official_model(f"{sizes[0]}_{named[0] if named else f'{classes}classes'}")


def preprocess(
    pair: str | Path, side: int, unit: str = "millimetres"
) -> tuple[Float[np.ndarray, "1 s s 3"], Float[np.ndarray, "1 s s 3"]]:
    """(RGB, HHA) as the networks take them, of a joined canvas or rgb/NAME.* with depth/NAME.*:
    `model.apply(variables, *preprocess(path))`."""
    rgb, depth, _ = read_pair(path_to(pair), unit)
    first, second = (
        np.asarray(normalise(jnp.asarray(pixels[None]), IMAGENET))
        for pixels in EvaluationPair(side).resized(rgb, depth)
    )
    return first, second
