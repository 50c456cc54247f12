"""SparseFormer's published networks as the converter and `jaxvision.load` see them."""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from PIL import Image

from jaxvision.data.normalisation import normalise, statistics
from jaxvision.data.picture_files import read_picture
from jaxvision.errors import InputError
from jaxvision.methods.sparseformer.inputs import evaluation_picture
from jaxvision.methods.sparseformer.model import SparseFormer
from jaxvision.methods.sparseformer.variants import PUBLISHED, RELEASES, VARIANTS, find_variant
from jaxvision.methods.sparseformer.weights import entries_of, renamed_layout
from jaxvision.weights.official import OfficialModel

SIZE, SHORT_SIDE = 224, 256


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name` ("tiny", "v1_base", "btsp_augreg_base").

    InputError names the nearest variant for an unknown one.
    """
    architecture = find_variant(name, dtype)
    family = "imagenet"
    if name.startswith("btsp"):
        family = "clip" if "clip" in name else "half"
    resampling = "bicubic" if architecture.flavour.paper_names else "bilinear"
    layouts = {}
    if not name.startswith("btsp"):
        other = "package" if architecture.flavour.paper_names else "paper"
        layouts[other] = renamed_layout(architecture.flavour.paper_names)
    return OfficialModel(
        f"sparseformer/{name}",
        SparseFormer(architecture),
        entries_of(architecture),
        partial(preprocess, family=family, resampling=resampling),
        layouts,
        class_list="" if family == "clip" else "imagenet",
    )


def network_of(task: Any, name: str) -> OfficialModel:
    """The network that a demo's task trains, for `jaxvision.load`."""
    data = task.config.data
    prepare = partial(
        preprocess,
        family=data.normalisation,
        resampling=data.resampling,
        sizes=(data.size, data.short_side),
    )
    return OfficialModel(name, task.model, entries_of(task.model.architecture), prepare)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    rows = []
    for row in PUBLISHED:
        shown = {
            "network": f"sparseformer/{row.variant}",
            "file": row.file,
            "from": f"github.com/showlab/sparseformer, release {row.release}",
            "licence": "MIT",
            "preprocessing": f"short side {SHORT_SIDE}, centre crop {SIZE}",
            "address": f"{RELEASES}/{row.release}/{row.file}",
        }
        if row.top1:
            shown |= {"views": "1 crop", "accuracy": f"{row.top1:.1f} %"}
        rows.append(shown)
    return rows


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that tensors of a file belong to, by names and shapes; None for none of these."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if not {"token_roi.weight", "initial_roi.weight"} & shapes.keys():
        return None
    for name in VARIANTS:
        network = official_model(name)
        wanted = {entry.name: entry.shape for entry in network.entries}
        if wanted == shapes:
            return network
    return _with_other_classes(shapes)


def _with_other_classes(shapes: Mapping[str, tuple[int, ...]]) -> OfficialModel | None:
    """A variant whose head alone has another number of classes."""
    for name in VARIANTS:
        network = official_model(name)
        wanted = {entry.name: entry.shape for entry in network.entries}
        if wanted.keys() != shapes.keys():
            continue
        different = [key for key in wanted if wanted[key] != shapes[key]]
        if all(k == "proj.weight" or k == "proj.bias" or "classifier" in k for k in different):
            architecture = network.model.architecture
            classes = shapes[different[0]][0]
            own = dataclasses.replace(architecture, outputs=classes)
            return dataclasses.replace(
                network, model=SparseFormer(own), entries=entries_of(own), class_list=""
            )
    return None


def preprocess(
    picture: Any, family: str, resampling: str, sizes: tuple[int, int] = (SIZE, SHORT_SIDE)
) -> Float[np.ndarray, "1 s s 3"]:
    """A picture file, or uint8 RGB pixels [h, w, 3], as the network takes it. sizes: of the crop,
    and of the short side that it is cut from."""
    if isinstance(picture, (str, Path)):
        image = read_picture(picture)
    else:
        pixels = np.asarray(picture)
        if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
            raise InputError(
                f"a picture of shape {pixels.shape} and dtype {pixels.dtype}; expected uint8 "
                "[height, width, 3]"
            )
        image = Image.fromarray(pixels)
    pixels = evaluation_picture(image, *sizes, resampling)
    return np.asarray(normalise(jnp.asarray(pixels[None]), statistics(family)))
