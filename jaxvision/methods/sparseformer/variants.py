"""The published networks by name, and the weights their authors released."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from jaxvision.errors import InputError, nearest
from jaxvision.methods.sparseformer.architecture import (
    AUGREG,
    CLIP,
    PACKAGE,
    PAPER,
    Architecture,
    Flavour,
    bootstrapped_units,
    paper_units,
)


class Size(NamedTuple):
    """A row of the paper's table 1, or of the package's configurations."""

    tokens: int
    widths: tuple[int, int]
    cortex: int


PAPER_SIZES = {
    "tiny": Size(49, (256, 512), 8),
    "small": Size(64, (320, 640), 8),
    "base": Size(81, (384, 768), 10),
}
BOOTSTRAPPED_SIZES = {
    "btsp_augreg_base": Size(48, (384, 768), 8),
    "btsp_augreg_large": Size(48, (512, 1024), 16),
    "btsp_openai_clip_base": Size(48, (384, 768), 8),
    "btsp_openai_clip_large": Size(63, (512, 1024), 16),
}


class Published(NamedTuple):
    """variant: its name here.  file: as released.  top1: ImageNet-1K in percent, where published.
    gflops: multiply-adds at 224 x 224, as published."""

    variant: str
    file: str
    release: str
    top1: float | None = None
    gflops: float | None = None


# Linked in imagenet/README.md and in the package's factory.py.
RELEASES = "https://github.com/showlab/sparseformer/releases/download"
PUBLISHED = (
    Published("tiny", "sparseformer_t_imagenet1k.pth", "v1.0.0-imagenet", 81.0, 2.0),
    Published("small", "sparseformer_s_imagenet1k.pth", "v1.0.0-imagenet", 82.0, 3.8),
    Published("base", "sparseformer_b_imagenet1k.pth", "v1.0.0-imagenet", 82.6, 7.8),
    *(
        Published(f"v1_{size}", f"sparseformer_v1_{size}_converted.pth", "v2.0.0-refactor")
        for size in PAPER_SIZES
    ),
    *(
        Published(name, f"sparseformer_{name}_converted.pth", "v2.0.0-refactor")
        for name in BOOTSTRAPPED_SIZES
    ),
)
VARIANTS = tuple(row.variant for row in PUBLISHED)


def find_variant(name: str, dtype: str = "float32") -> Architecture:
    """The architecture of a published network. InputError names the nearest one."""
    if name in PAPER_SIZES:
        return _paper(PAPER_SIZES[name], PAPER, dtype)
    if name.removeprefix("v1_") in PAPER_SIZES:
        return _paper(PAPER_SIZES[name.removeprefix("v1_")], PACKAGE, dtype)
    if name not in BOOTSTRAPPED_SIZES:
        raise InputError(f"no SparseFormer {name!r}{nearest(name, VARIANTS)}")
    size, clip = BOOTSTRAPPED_SIZES[name], "clip" in name
    built = Architecture(
        tokens=size.tokens,
        points=16,
        channels=64,
        units=bootstrapped_units(size.widths, size.cortex),
        outputs=1000,
        flavour=AUGREG,
        class_token_before=2,
        dtype=jnp.dtype(dtype),
    )
    if not clip:
        return built
    # CLIP's embedding has two thirds of a ViT's width, and no bias.
    outputs = {768: 512, 1024: 768}[size.widths[1]]
    return dataclasses.replace(built, flavour=CLIP, outputs=outputs, head_bias=False)


def _paper(size: Size, flavour: Flavour, dtype: str) -> Architecture:
    return Architecture(
        tokens=size.tokens,
        points=36,
        channels=96,
        units=paper_units(size.widths, size.cortex),
        outputs=1000,
        flavour=flavour,
        dtype=jnp.dtype(dtype),
    )
