"""The official tensors of a vision transformer's parts, in the order in which timm's names come."""

from collections.abc import Iterator
from typing import Literal

from jaxvision.weights.layout import (
    CONV2D,
    LINEAR,
    chain,
    heads_bias,
    heads_in,
    heads_out,
    reshape,
    transpose,
)
from jaxvision.weights.mapping import Entry

# Biases of queries, keys and values: one tensor of all three; query and value apart, the key
# without one (BEiT); or none.
QkvBias = Literal["fused", "split", "none"]


def norm(name: str, path: str, width: int, layer: int | None = None) -> list[Entry]:
    """A LayerNorm; `layer`: its row where ours are stacked."""
    return [
        Entry(f"{name}.weight", (width,), f"{path}/scale", layer=layer),
        Entry(f"{name}.bias", (width,), f"{path}/bias", layer=layer),
    ]


def linear(
    name: str, path: str, inputs: int, outputs: int, layer: int | None = None
) -> list[Entry]:
    """A linear map with a bias."""
    return [
        Entry(f"{name}.weight", (outputs, inputs), f"{path}/kernel", LINEAR, layer),
        Entry(f"{name}.bias", (outputs,), f"{path}/bias", layer=layer),
    ]


def to_heads(
    name: str,
    path: str,
    sizes: tuple[int, int, int],
    layer: int | None = None,
    *,
    fused: int = 1,
    bias: bool = True,
) -> Iterator[Entry]:
    """A projection to attention heads.  sizes: (inputs, outputs, heads).  fused: how many
    projections, of `outputs` together, it is."""
    inputs, outputs, heads = sizes
    kernel = heads_out(inputs, heads, fused=fused)
    yield Entry(f"{name}.weight", (outputs, inputs), f"{path}/kernel", kernel, layer)
    if bias:
        split = heads_bias(heads, fused=fused)
        yield Entry(f"{name}.bias", (outputs,), f"{path}/bias", split, layer)


def from_heads(
    name: str, path: str, width: int, heads: int, layer: int | None = None
) -> Iterator[Entry]:
    """The projection behind attention heads of `width` together."""
    back = heads_in(width, heads)
    yield Entry(f"{name}.weight", (width, width), f"{path}/kernel", back, layer)
    yield Entry(f"{name}.bias", (width,), f"{path}/bias", layer=layer)


def cube_embedding(name: str, path: str, width: int, cube: tuple[int, int, int]) -> list[Entry]:
    """A strided convolution over cubes of (t, h, w) pixels, which ours keeps as a matrix."""
    kernel = (width, 3, *cube)
    # (out, channel, t, h, w) -> (t, h, w, channel, out), then one row per value of a cube.
    to_matrix = chain(transpose(2, 3, 4, 1, 0), reshape((*cube, 3, width), (-1, width)))
    return [
        Entry(f"{name}.weight", kernel, f"{path}/kernel", to_matrix),
        Entry(f"{name}.bias", (width,), f"{path}/bias"),
    ]


def patch_embedding(name: str, path: str, width: int, patch: int) -> list[Entry]:
    """A strided convolution over square patches, which ours keeps as a matrix."""
    to_matrix = chain(CONV2D, reshape((patch, patch, 3, width), (-1, width)))
    return [
        Entry(f"{name}.weight", (width, 3, patch, patch), f"{path}/kernel", to_matrix),
        Entry(f"{name}.bias", (width,), f"{path}/bias"),
    ]


def attention(
    name: str,
    path: str,
    sizes: tuple[int, int],
    layer: int | None = None,
    *,
    qkv_bias: QkvBias,
    cosine: bool = False,
) -> Iterator[Entry]:
    """Self-attention with one fused projection.

    sizes: (width, heads).  cosine: a learned scale per head (Swin V2).
    """
    width, heads = sizes
    if cosine:
        shape = (heads, 1, 1)
        yield Entry(f"{name}.scale", shape, f"{path}/scale", reshape(shape, (-1,)), layer)
    if qkv_bias == "split":
        for letter, ours in (("q", "query_bias"), ("v", "value_bias")):
            bias = heads_bias(heads)
            yield Entry(f"{name}.{letter}_bias", (width,), f"{path}/{ours}", bias, layer)
    fused, with_bias = (width, 3 * width, heads), qkv_bias == "fused"
    yield from to_heads(f"{name}.qkv", f"{path}/qkv", fused, layer, fused=3, bias=with_bias)
    yield from from_heads(f"{name}.proj", f"{path}/out", width, heads, layer)


def mlp(name: str, path: str, width: int, hidden: int, layer: int | None = None) -> list[Entry]:
    """Two linear maps."""
    return [
        *linear(f"{name}.fc1", f"{path}/up", width, hidden, layer),
        *linear(f"{name}.fc2", f"{path}/down", hidden, width, layer),
    ]


def blocks(
    name: str,
    path: str,
    depth: int,
    *,
    width: int,
    heads: int,
    hidden: int,
    qkv_bias: QkvBias,
    layer_scale: bool = False,
    cosine: bool = False,
) -> Iterator[Entry]:
    """Blocks `name`.0 to `name`.{depth - 1}, stacked on ours below `path`."""
    for layer in range(depth):
        block = f"{name}.{layer}"
        if layer_scale:
            yield Entry(f"{block}.gamma_1", (width,), f"{path}/attention_scale", layer=layer)
            yield Entry(f"{block}.gamma_2", (width,), f"{path}/mlp_scale", layer=layer)
        yield from norm(f"{block}.norm1", f"{path}/attention_norm", width, layer)
        yield from attention(
            f"{block}.attn",
            f"{path}/attention",
            (width, heads),
            layer,
            qkv_bias=qkv_bias,
            cosine=cosine,
        )
        yield from norm(f"{block}.norm2", f"{path}/mlp_norm", width, layer)
        yield from mlp(f"{block}.mlp", f"{path}/mlp", width, hidden, layer)
