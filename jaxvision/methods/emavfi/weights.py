"""Official EMA-VFI state dicts <-> our variables.

The published files are plain dicts of tensors saved by DistributedDataParallel: every name carries
`module.`, and attention masks cached at the last size seen ride along. Neither is the model's.
"""

from collections.abc import Iterator

from jaxvision.methods.emavfi.attention import BlockConfig
from jaxvision.methods.emavfi.extractor import BRANCHES
from jaxvision.methods.emavfi.variants import NetworkConfig
from jaxvision.weights.layout import CONV2D, SAME, Layout, chain, reshape, transpose
from jaxvision.weights.mapping import Entry
from jaxvision.weights.transformer_entries import from_heads, linear, norm, to_heads

_FLIP = Layout(lambda x: x[::-1, ::-1], lambda x: x[::-1, ::-1])
# (in, out, 4, 4) -> (4, 4, in, out), taps reversed: a convolution of the dilated input.
TRANSPOSED_CONV2D = chain(transpose(2, 3, 0, 1), _FLIP)
# The block's cached mask, and the size it was made for.
CACHED = ("attn_mask", "HW")


def entries(config: NetworkConfig) -> list[Entry]:
    """Every tensor of a checkpoint, in its order."""
    return [
        *extractor_entries(config, "feature_bone.", "params/extractor"),
        *head_entries(config, 16, "block.0.", "params/head_16"),
        *head_entries(config, 8, "block.1.", "params/head_8"),
        *unet_entries(config.width, config.unet_width, "unet.", "params/unet"),
    ]


def conv_entries(name: str, path: str, outputs: int, inputs: int, window: int = 3) -> list[Entry]:
    """A convolution with bias."""
    shape = (outputs, inputs, window, window)
    return [
        Entry(f"{name}.weight", shape, f"{path}/kernel", CONV2D),
        Entry(f"{name}.bias", (outputs,), f"{path}/bias"),
    ]


def conv_prelu_entries(
    name: str, prelu: str, path: str, outputs: int, inputs: int
) -> Iterator[Entry]:
    """A convolution `name` and the PReLU `prelu` after it."""
    yield from conv_entries(name, f"{path}/conv", outputs, inputs)
    yield Entry(f"{prelu}.weight", (outputs,), f"{path}/prelu/slope")


def stage_entries(name: str, path: str, depth: int, outputs: int, inputs: int) -> Iterator[Entry]:
    """A stage of convolutions: even numbers are convolutions, odd ones PReLUs."""
    for number in range(depth):
        yield from conv_prelu_entries(
            f"{name}.conv.{2 * number}",
            f"{name}.conv.{2 * number + 1}",
            f"{path}/layer_{number}",
            outputs,
            inputs if number == 0 else outputs,
        )


def attention_entries(block: BlockConfig, prefix: str, path: str) -> Iterator[Entry]:
    """The inter-frame attention of a block; `kv` holds the keys' rows, then the values'."""
    width, motion, heads = block.width, block.motion_width, block.heads
    yield from to_heads(f"{prefix}q", f"{path}/query", (width, width, heads))
    yield from to_heads(f"{prefix}kv", f"{path}/key_value", (width, 2 * width, heads), fused=2)
    yield from to_heads(f"{prefix}cor_embed", f"{path}/coordinates", (2, motion, heads))
    yield from from_heads(f"{prefix}proj", f"{path}/appearance_out", width, heads)
    yield from from_heads(f"{prefix}motion_proj", f"{path}/motion_out", motion, heads)


def mlp_entries(block: BlockConfig, prefix: str, path: str) -> Iterator[Entry]:
    hidden = int(block.width * block.mlp_ratio)
    yield from linear(f"{prefix}fc1", f"{path}/up", block.width, hidden)
    depthwise = chain(reshape((hidden, 1, 3, 3), (hidden, 3, 3)), transpose(1, 2, 0))
    name = f"{prefix}dwconv.dwconv"
    yield Entry(f"{name}.weight", (hidden, 1, 3, 3), f"{path}/depthwise/kernel", depthwise)
    yield Entry(f"{name}.bias", (hidden,), f"{path}/depthwise/bias")
    yield from linear(f"{prefix}fc2", f"{path}/down", hidden, block.width)


def block_entries(block: BlockConfig, prefix: str, path: str) -> Iterator[Entry]:
    yield from norm(f"{prefix}norm1", f"{path}/attention_norm", block.width)
    yield from attention_entries(block, f"{prefix}attn.", f"{path}/attention")
    yield from norm(f"{prefix}norm2", f"{path}/mlp_norm", block.width)
    yield from mlp_entries(block, f"{prefix}mlp.", f"{path}/mlp")


def cross_scale_entries(
    inputs: tuple[int, ...], width: int, prefix: str, path: str
) -> Iterator[Entry]:
    """inputs: channels of stages 1 to 3.  width: channels of the tokens."""
    for number, (stage, _, _) in enumerate(BRANCHES):
        yield from conv_entries(
            f"{prefix}layers.{number}", f"{path}/branch_{number}", inputs[0], inputs[stage - 1]
        )
    joined = len(BRANCHES) * inputs[0]
    yield from conv_entries(f"{prefix}proj", f"{path}/projection", width, joined, 1)
    yield from norm(f"{prefix}norm", f"{path}/norm", width)


def overlap_entries(inputs: int, width: int, prefix: str, path: str) -> Iterator[Entry]:
    yield from conv_entries(f"{prefix}proj", f"{path}/projection", width, inputs)
    yield from norm(f"{prefix}norm", f"{path}/norm", width)


def extractor_entries(config: NetworkConfig, prefix: str, path: str) -> Iterator[Entry]:
    widths, depths = config.widths, config.depths
    for stage in range(3):
        if stage:
            name = f"{prefix}patch_embed{stage + 1}"
            yield from conv_prelu_entries(
                f"{name}.0",
                f"{name}.1",
                f"{path}/reduce_{stage + 1}",
                widths[stage],
                widths[stage - 1],
            )
        yield from stage_entries(
            f"{prefix}block{stage + 1}",
            f"{path}/stage_{stage + 1}",
            depths[stage],
            widths[stage],
            widths[stage] if stage else 3,
        )
    for stage in (3, 4):
        number, width = stage + 1, widths[stage]
        name, embedding = f"{prefix}patch_embed{number}.", f"{path}/embedding_{number}"
        yield from norm(f"{prefix}norm{number}", f"{path}/stage_{number}/norm", width)
        if stage == 3:
            yield from cross_scale_entries(widths[:3], width, name, embedding)
        else:
            yield from overlap_entries(widths[3], width, name, embedding)
        for block in range(depths[stage]):
            yield from block_entries(
                config.block(stage),
                f"{prefix}block{number}.{block}.",
                f"{path}/stage_{number}/block_{block}",
            )


def head_entries(config: NetworkConfig, scale: int, prefix: str, path: str) -> Iterator[Entry]:
    stage = {16: 4, 8: 3}[scale]
    motion = config.block(stage).motion_width * config.depths[stage]
    shuffled = 2 * (motion + config.widths[stage]) // 16
    known = 6 if scale == 16 else 17
    yield from flow_head_entries(shuffled + known, config.head_hidden, prefix, path)


def flow_head_entries(inputs: int, hidden: int, prefix: str, path: str) -> Iterator[Entry]:
    for number, (outputs, channels) in enumerate([(hidden, inputs), (hidden, hidden), (5, hidden)]):
        name = f"{prefix}conv.{number}"
        yield from conv_prelu_entries(
            f"{name}.0", f"{name}.1", f"{path}/layer_{number}", outputs, channels
        )


def unet_entries(features: int, width: int, prefix: str, path: str) -> Iterator[Entry]:
    """features: channels of the finest appearance map.  width: of the last decoder map."""
    for level in range(4):
        outputs, joined = 2 * width * 2**level, 2 * features * 2**level
        inputs = joined + (17 if level == 0 else outputs // 2)
        for number, channels in enumerate([inputs, outputs]):
            name = f"{prefix}down{level}.conv{number + 1}"
            yield from conv_prelu_entries(
                f"{name}.0", f"{name}.1", f"{path}/down_{level}/layer_{number}", outputs, channels
            )
    for level in range(4):
        outputs = width * 2 ** (3 - level)
        inputs = 16 * width + 32 * features if level == 0 else 4 * outputs
        name, ours = f"{prefix}up{level}", f"{path}/up_{level}"
        shape = (inputs, outputs, 4, 4)
        yield Entry(f"{name}.0.weight", shape, f"{ours}/kernel", TRANSPOSED_CONV2D)
        yield Entry(f"{name}.0.bias", (outputs,), f"{ours}/bias", SAME)
        yield Entry(f"{name}.1.weight", (outputs,), f"{ours}/prelu/slope")
    yield from conv_entries(f"{prefix}conv", f"{path}/residual", 3, width)
