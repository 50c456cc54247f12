"""The official tensors of a plain video transformer, as VideoMAE's repository first named them.

Networks are told by their settings: `block` is a `BlockConfig` (`jaxvision.nn.transformer`), `grid`
a `CubeGrid` and `model` a `VideoClassifier` (`jaxvision.nn.video_transformer`), which know nothing
of files, as this folder knows nothing of networks.
"""

from collections.abc import Iterator
from typing import Any

from jaxvision.weights import transformer_entries
from jaxvision.weights.layout import reshape
from jaxvision.weights.mapping import Entry


def blocks(name: str, path: str, block: Any, depth: int) -> Iterator[Entry]:
    """Blocks `name`.0 to `name`.{depth - 1}, stacked on ours below `path`."""
    bias: transformer_entries.QkvBias = "split" if block.qkv_bias else "none"
    if block.fused_bias:
        bias = "fused"
    return transformer_entries.blocks(
        name,
        path,
        depth,
        width=block.width,
        heads=block.heads,
        hidden=block.hidden,
        qkv_bias=bias,
        layer_scale=block.layer_scale > 0,
        cosine=block.cosine_attention,
    )


def patch_embedding(prefix: str, path: str, grid: Any, width: int) -> list[Entry]:
    """The embedding of cubes, of the encoder at `path`."""
    cube = (grid.tubelet, grid.patch, grid.patch)
    ours = f"{path}/patch_embedding/projection"
    return transformer_entries.cube_embedding(f"{prefix}patch_embed.proj", ours, width, cube)


def classification_entries(model: Any) -> list[Entry]:
    """Every tensor of a fine-tuned checkpoint, in its order.

    A network of another window than the one that its positions are made for keeps its resized,
    never trained table in the file: it is carried along.
    """
    grid, width = model.grid, model.block.width
    table = (1, grid.tokens, width)
    positions = Entry("pos_embed", table, None, optional=True)
    if model.position_table:
        positions = Entry("pos_embed", table, "params/encoder/positions", reshape(table, table[1:]))
    resized = model.position_window not in (None, grid.window)
    return [
        *([positions] if model.position_table or resized else []),
        *patch_embedding("", "params/encoder", grid, width),
        *blocks("blocks", "params/encoder/stack/blocks", model.block, model.depth),
        *transformer_entries.norm(
            "fc_norm" if model.pooling == "mean" else "norm", "params/norm", width
        ),
        *transformer_entries.linear("head", "params/head", width, model.classes),
    ]


def map_entries(model: Any, name: str, path: str) -> list[Entry]:
    """A `TransformerMap`. name: official prefix with its dot.  path: "params/..." of ours."""
    encoder = f"{path}/encoder"
    return [
        *patch_embedding(name, encoder, model.grid, model.block.width),
        *blocks(f"{name}blocks", f"{encoder}/stack/blocks", model.block, model.depth),
        *transformer_entries.norm(f"{name}norm", f"{path}/norm", model.block.width),
    ]
