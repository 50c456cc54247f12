"""Official VideoMAE state dicts <-> our variables (the paper's repository)."""

from collections.abc import Iterator

from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, VideoClassifier
from jaxvision.weights import transformer_entries
from jaxvision.weights.layout import LINEAR, reshape
from jaxvision.weights.mapping import Entry
from jaxvision.weights.transformer_entries import linear, norm


def pretraining_entries(model: MaskedAutoencoder) -> list[Entry]:
    """Every tensor of a pretraining checkpoint, in its order."""
    encoder, decoder = model.encoder_block, model.decoder_block
    width, token = decoder.width, (1, 1, decoder.width)
    return [
        Entry("mask_token", token, "params/decoder/mask_token", reshape(token, (-1,))),
        *_patch_embedding("encoder.", model.grid, encoder.width),
        *_blocks("encoder.blocks", "params/encoder/stack/blocks", encoder, model.encoder_depth),
        *norm("encoder.norm", "params/encoder_norm", encoder.width),
        *_blocks("decoder.blocks", "params/decoder/stack/blocks", decoder, model.decoder_depth),
        *norm("decoder.norm", "params/decoder/norm", width),
        *linear("decoder.head", "params/decoder/head", width, model.grid.cube_values),
        Entry(
            "encoder_to_decoder.weight",
            (width, encoder.width),
            "params/encoder_to_decoder/kernel",
            LINEAR,
        ),
    ]


def classification_entries(model: VideoClassifier) -> list[Entry]:
    """Every tensor of a fine-tuned checkpoint, in its order."""
    grid, width = model.grid, model.block.width
    table = (1, grid.tokens, width)
    return [
        *(
            [Entry("pos_embed", table, "params/encoder/positions", reshape(table, table[1:]))]
            if model.position_table
            else []
        ),
        *_patch_embedding("", grid, width),
        *_blocks("blocks", "params/encoder/stack/blocks", model.block, model.depth),
        *norm("fc_norm" if model.pooling == "mean" else "norm", "params/norm", width),
        *linear("head", "params/head", width, model.classes),
    ]


def _patch_embedding(prefix: str, grid: CubeGrid, width: int) -> list[Entry]:
    path = "params/encoder/patch_embedding/projection"
    cube = (grid.tubelet, grid.patch, grid.patch)
    return transformer_entries.cube_embedding(f"{prefix}patch_embed.proj", path, width, cube)


def _blocks(name: str, path: str, block: BlockConfig, depth: int) -> Iterator[Entry]:
    return transformer_entries.blocks(
        name,
        path,
        depth,
        width=block.width,
        heads=block.heads,
        hidden=block.hidden,
        qkv_bias="split" if block.qkv_bias else "none",
        layer_scale=block.layer_scale > 0,
        cosine=block.cosine_attention,
    )
