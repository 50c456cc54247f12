"""The official tensors of a Video Swin transformer, in the order of its state dict.

`network`: a `Swin3DConfig` (`jaxvision.nn.swin3d`), which knows nothing of files.
"""

from collections.abc import Iterator
from typing import Any

from jaxvision.weights import transformer_entries
from jaxvision.weights.layout import LINEAR
from jaxvision.weights.mapping import Entry


def swin3d_entries(network: Any, name: str, path: str) -> Iterator[Entry]:
    """All tensors. name: official prefix with its dot.  path: "params/..." of our module."""
    norm, width = transformer_entries.norm, network.width
    embedding = f"{path}/patch_embedding/projection"
    proj = f"{name}patch_embed.proj"
    yield from transformer_entries.cube_embedding(proj, embedding, width, tuple(network.patch))
    if network.patch_norm:
        yield from norm(f"{name}patch_embed.norm", f"{path}/patch_norm", width)
    for stage, (depth, heads) in enumerate(zip(network.depths, network.heads, strict=True)):
        for i in range(depth):
            block, ours = f"{name}layers.{stage}.blocks.{i}.", f"{path}/stage_{stage}_block_{i}"
            yield from norm(f"{block}norm1", f"{ours}/attention_norm", width)
            table, attention = (network.offsets, heads), f"{ours}/attention"
            official = f"{block}attn.relative_position_bias_table"
            yield Entry(official, table, f"{attention}/offset_bias")
            tokens = network.window[0] * network.window[1] * network.window[2]
            yield Entry(
                f"{block}attn.relative_position_index",
                (tokens, tokens),
                None,
                dtype="int64",
                optional=True,
            )
            bias: transformer_entries.QkvBias = "fused" if network.qkv_bias else "none"
            sizes = (width, heads)
            yield from transformer_entries.attention(
                f"{block}attn", attention, sizes, qkv_bias=bias
            )
            yield from norm(f"{block}norm2", f"{ours}/mlp_norm", width)
            hidden = int(width * network.mlp_ratio)
            yield from transformer_entries.mlp(f"{block}mlp", ours, width, hidden)
        if stage < len(network.depths) - 1:
            merging, ours = f"{name}layers.{stage}.downsample.", f"{path}/merging_{stage}"
            kernel = (2 * width, 4 * width)
            yield Entry(f"{merging}reduction.weight", kernel, f"{ours}/reduction/kernel", LINEAR)
            yield from norm(f"{merging}norm", f"{ours}/norm", 4 * width)
            width *= 2
    yield from norm(f"{name}norm", f"{path}/norm", width)
