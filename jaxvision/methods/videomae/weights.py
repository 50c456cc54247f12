"""Official VideoMAE state dicts <-> our variables (the paper's repository)."""

from collections.abc import Iterator

from jaxvision.methods.videomae.classifier import VideoClassifier
from jaxvision.methods.videomae.model import CubeGrid, MaskedAutoencoder
from jaxvision.nn.transformer import BlockConfig
from jaxvision.weights.layout import (
    LINEAR,
    SAME,
    chain,
    heads_bias,
    heads_in,
    heads_out,
    reshape,
    transpose,
)
from jaxvision.weights.mapping import Entry


def pretraining_entries(model: MaskedAutoencoder) -> list[Entry]:
    """Every tensor of a pretraining checkpoint, in its order."""
    encoder, decoder, grid = model.encoder_block, model.decoder_block, model.grid
    width = decoder.width
    values = grid.cube_values
    return [
        Entry(
            "mask_token", (1, 1, width), "params/decoder/mask_token", reshape((1, 1, width), (-1,))
        ),
        *_patch_embedding("encoder.", "params/encoder", grid, encoder.width),
        *_blocks("encoder.", "params/encoder/stack/blocks", encoder, model.encoder_depth),
        *_norm("encoder.norm", "params/encoder_norm", encoder.width),
        *_blocks("decoder.", "params/decoder/stack/blocks", decoder, model.decoder_depth),
        *_norm("decoder.norm", "params/decoder/norm", width),
        *_linear("decoder.head", "params/decoder/head", width, values),
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
        *_patch_embedding("", "params/encoder", grid, width),
        *_blocks("", "params/encoder/stack/blocks", model.block, model.depth),
        *_norm("fc_norm" if model.pooling == "mean" else "norm", "params/norm", width),
        *_linear("head", "params/head", width, model.classes),
    ]


def _patch_embedding(prefix: str, path: str, grid: CubeGrid, width: int) -> list[Entry]:
    kernel = (width, 3, grid.tubelet, grid.patch, grid.patch)
    # (out, channel, t, h, w) -> (t, h, w, channel, out), then one row per value of a cube.
    to_matrix = chain(
        transpose(2, 3, 4, 1, 0), reshape((*kernel[2:], 3, width), (grid.cube_values, width))
    )
    name, path = f"{prefix}patch_embed.proj", f"{path}/patch_embedding/projection"
    return [
        Entry(f"{name}.weight", kernel, f"{path}/kernel", to_matrix),
        Entry(f"{name}.bias", (width,), f"{path}/bias"),
    ]


def _norm(name: str, path: str, width: int, layer: int | None = None) -> list[Entry]:
    return [
        Entry(f"{name}.weight", (width,), f"{path}/scale", layer=layer),
        Entry(f"{name}.bias", (width,), f"{path}/bias", layer=layer),
    ]


def _linear(
    name: str, path: str, inputs: int, outputs: int, layer: int | None = None
) -> list[Entry]:
    return [
        Entry(f"{name}.weight", (outputs, inputs), f"{path}/kernel", LINEAR, layer),
        Entry(f"{name}.bias", (outputs,), f"{path}/bias", layer=layer),
    ]


def _blocks(prefix: str, path: str, block: BlockConfig, depth: int) -> Iterator[Entry]:
    for layer in range(depth):
        yield from _block(f"{prefix}blocks.{layer}", path, block, layer)


def _block(name: str, path: str, block: BlockConfig, layer: int) -> Iterator[Entry]:
    width, heads = block.width, block.heads
    attention = f"{path}/attention"
    if block.layer_scale > 0:
        yield Entry(f"{name}.gamma_1", (width,), f"{path}/attention_scale", SAME, layer)
        yield Entry(f"{name}.gamma_2", (width,), f"{path}/mlp_scale", SAME, layer)
    yield from _norm(f"{name}.norm1", f"{path}/attention_norm", width, layer)
    if block.cosine_attention:
        shape = (heads, 1, 1)
        yield Entry(f"{name}.attn.scale", shape, f"{attention}/scale", reshape(shape, (-1,)), layer)
    if block.qkv_bias:
        bias = heads_bias(heads)
        yield Entry(f"{name}.attn.q_bias", (width,), f"{attention}/query_bias", bias, layer)
        yield Entry(f"{name}.attn.v_bias", (width,), f"{attention}/value_bias", bias, layer)
    yield Entry(
        f"{name}.attn.qkv.weight",
        (3 * width, width),
        f"{attention}/qkv/kernel",
        heads_out(width, heads, fused=3),
        layer,
    )
    yield Entry(
        f"{name}.attn.proj.weight",
        (width, width),
        f"{attention}/out/kernel",
        heads_in(width, heads),
        layer,
    )
    yield Entry(f"{name}.attn.proj.bias", (width,), f"{attention}/out/bias", SAME, layer)
    yield from _norm(f"{name}.norm2", f"{path}/mlp_norm", width, layer)
    yield from _linear(f"{name}.mlp.fc1", f"{path}/mlp/up", width, block.hidden, layer)
    yield from _linear(f"{name}.mlp.fc2", f"{path}/mlp/down", block.hidden, width, layer)
