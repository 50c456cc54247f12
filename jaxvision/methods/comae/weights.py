"""CoMAE's official names <-> our parameter trees, for the networks of its three stages."""

from collections.abc import Iterator

from jaxvision.methods.comae.model import (
    MultiModalAutoencoder,
    PatchContrast,
    PatchGrid,
    SceneClassifier,
)
from jaxvision.nn.transformer import BlockConfig
from jaxvision.weights import transformer_entries as entries
from jaxvision.weights.layout import reshape
from jaxvision.weights.mapping import Entry
from jaxvision.weights.video_transformer_entries import blocks

# Official names of what is kept by modality, in the order of the files.
EMBEDDINGS = {"patch_embed": "rgb_embedding", "patch_embed2": "depth_embedding"}


def contrast_entries(model: PatchContrast) -> list[Entry]:
    """Stage 1."""
    scale = Entry("logit_scale", (), "params/logit_scale")
    return [scale, *_embeddings(model.grid, model.block), *_blocks(model.block, model.depth)]


def autoencoder_entries(model: MultiModalAutoencoder) -> list[Entry]:
    """Stage 2, the fixed position tables among them."""
    width, decoder = model.block.width, model.decoder_block
    found = [
        _token("cls_token", "params/class_token", width),
        _table("pos_embed", "constants/positions", model.grid, width),
        _token("mask_token", "params/mask_token", decoder.width),
        _table("decoder_pos_embed", "constants/decoder_positions", model.grid, decoder.width),
    ]
    found += _embeddings(model.grid, model.block)
    found += _blocks(model.block, model.depth)
    found += entries.norm("norm", "params/norm", width)
    for name, ours in (("", "rgb"), ("2", "depth")):
        path = f"params/decoder_{ours}_embedding"
        found += entries.linear(f"decoder_embed{name}", path, width, decoder.width)
    found += _blocks(decoder, model.decoder_depth, "decoder_")
    found += entries.norm("decoder_norm", "params/decoder_norm", decoder.width)
    values = model.grid.patch_values
    for name, ours in (("", "rgb"), ("2", "depth")):
        found += entries.linear(f"decoder_pred{name}", f"params/{ours}_head", decoder.width, values)
    return found


def classifier_entries(model: SceneClassifier) -> list[Entry]:
    """Stage 3."""
    width = model.block.width
    norm, path = ("fc_norm", "pooled_norm") if model.pooling == "mean" else ("norm", "norm")
    found = [
        _token("cls_token", "params/class_token", width),
        _table("pos_embed", "params/positions", model.grid, width),
        *_embeddings(model.grid, model.block),
        *_blocks(model.block, model.depth),
    ]
    ends = {
        "norm": entries.norm(norm, f"params/{path}", width),
        "head": entries.linear("head", "params/head", width, model.classes),
    }
    order = ("head", "norm") if model.pooling == "mean" else ("norm", "head")
    return found + [entry for name in order for entry in ends[name]]


def _token(name: str, path: str, width: int) -> Entry:
    return Entry(name, (1, 1, width), path, reshape((1, 1, width), (width,)))


def _table(name: str, path: str, grid: PatchGrid, width: int) -> Entry:
    shape = (1, grid.patches + 1, width)
    return Entry(name, shape, path, reshape(shape, shape[1:]))


def _embeddings(grid: PatchGrid, block: BlockConfig) -> Iterator[Entry]:
    for name, ours in EMBEDDINGS.items():
        path = f"params/{ours}/projection"
        yield from entries.patch_embedding(f"{name}.proj", path, block.width, grid.patch)


def _blocks(block: BlockConfig, depth: int, prefix: str = "") -> Iterator[Entry]:
    return blocks(f"{prefix}blocks", f"params/{prefix}stack/blocks", block, depth)
