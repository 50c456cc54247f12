"""Official STMixer state dicts <-> our variables (the paper's repository)."""

from collections.abc import Iterator, Sequence

from jaxvision.methods.stmixer.decoder import DecoderConfig
from jaxvision.methods.stmixer.model import Detector
from jaxvision.nn.resnet3d_config import ResNet3DConfig
from jaxvision.nn.video_transformer import TransformerMap
from jaxvision.weights.layout import (
    CONV3D,
    LINEAR,
    chain,
    heads_bias,
    heads_in,
    heads_out,
    reshape,
    transpose,
)
from jaxvision.weights.mapping import Entry
from jaxvision.weights.resnet3d_entries import pyslowfast_entries
from jaxvision.weights.transformer_entries import linear, norm
from jaxvision.weights.video_transformer_entries import map_entries

BRANCHES = (("s", "spatial"), ("t", "temporal"))


def detector_entries(model: Detector) -> list[Entry]:
    """Every tensor of a detector's checkpoint, in its order."""
    backbone, width, path = model.backbone, model.decoder.width, "params/backbone"
    if isinstance(backbone, TransformerMap):
        found = [
            *map_entries(backbone, "backbone.", path),
            *pyramid_entries(backbone.block.width, width),
        ]
    else:
        channels = level_channels(backbone.config)
        found = [
            *pyslowfast_entries(backbone.config, "backbone.", f"{path}/network"),
            *lateral_entries(channels, width),
        ]
    head = "stm_head."
    background = Entry(f"{head}criterion.empty_weight", (2,), None, optional=True)
    # A table of the loss, which ours has among its settings.
    return [*found, *decoder_entries(model.decoder, head, "params/decoder"), background]


def level_channels(network: ResNet3DConfig) -> list[int]:
    """Of stages 2 to 5, both pathways together."""
    return [sum(p.outputs(number) for p in network.pathways) for number in range(2, 6)]


def decoder_entries(config: DecoderConfig, name: str, path: str) -> list[Entry]:
    """The decoder's tables and stages. name: official prefix with its dot.  path: of ours, with its
    collection."""
    table = (config.queries, config.width)
    return [
        *(
            Entry(f"{name}init_{branch}_queries.weight", table, f"{path}/first/{branch}_queries")
            for _, branch in BRANCHES
        ),
        *(
            entry
            for stage in range(config.stages)
            for entry in stage_entries(
                config, f"{name}decoder_stages.{stage}.", f"{path}/stages", stage
            )
        ),
    ]


def stage_entries(
    config: DecoderConfig, name: str, path: str, layer: int | None = None
) -> Iterator[Entry]:
    """One stage, in the order of its file. layer: its row where ours are stacked."""
    width = config.width
    yield Entry(f"{name}iof_tau", (config.heads,), f"{path}/overlap_temperature", layer=layer)
    for letter, branch in BRANCHES:
        yield from attention_entries(
            f"{name}attention_{letter}.attn.",
            f"{path}/{branch}_attention",
            (width, config.heads),
            layer,
        )
        yield from norm(
            f"{name}attention_norm_{letter}", f"{path}/{branch}_attention_norm", width, layer
        )
        feed = f"{name}ffn_{letter}.layers"
        yield from linear(f"{feed}.0.0", f"{path}/{branch}_up", width, config.hidden, layer)
        yield from linear(f"{feed}.1", f"{path}/{branch}_down", config.hidden, width, layer)
        yield from norm(f"{name}ffn_norm_{letter}", f"{path}/{branch}_feed_norm", width, layer)
    yield from sampling_entries(config, f"{name}samplingmixing.", f"{path}/sampling", layer)
    heads = (
        ("human_cls", "human_fc_cls", "person", width, config.objects + 1),
        ("reg", "fc_reg", "box", width, 4),
        ("action_cls", "fc_action", "action", 2 * width, config.actions),
    )
    persons, actions, boxes = config.head_layers
    for (hidden, last, ours, inputs, outputs), layers in zip(
        heads, (persons, boxes, actions), strict=True
    ):
        for number in range(layers):
            place = f"{name}{hidden}_fcs"
            yield from linear(
                f"{place}.{3 * number}", f"{path}/{ours}/hidden_{number}", inputs, inputs, layer
            )
            yield from norm(
                f"{place}.{3 * number + 1}", f"{path}/{ours}/norm_{number}", inputs, layer
            )
        yield from linear(f"{name}{last}", f"{path}/{ours}/out", inputs, outputs, layer)


def attention_entries(
    name: str, path: str, sizes: tuple[int, int], layer: int | None = None
) -> Iterator[Entry]:
    """PyTorch's multi-head attention. sizes: (width, heads)."""
    width, heads = sizes
    fused = heads_out(width, heads, fused=3)
    yield Entry(f"{name}in_proj_weight", (3 * width, width), f"{path}/qkv/kernel", fused, layer)
    bias = heads_bias(heads, fused=3)
    yield Entry(f"{name}in_proj_bias", (3 * width,), f"{path}/qkv/bias", bias, layer)
    back = heads_in(width, heads)
    yield Entry(f"{name}out_proj.weight", (width, width), f"{path}/out/kernel", back, layer)
    yield Entry(f"{name}out_proj.bias", (width,), f"{path}/out/bias", layer=layer)


def sampling_entries(
    config: DecoderConfig, name: str, path: str, layer: int | None = None, channels: int = 0
) -> Iterator[Entry]:
    """Offsets, and both mixings with their norms. channels: of the feature space; 0: as wide as the
    queries."""
    width, count = config.width, 3 * config.groups * config.points
    yield from linear(f"{name}offset_generator.0", f"{path}/offset", width, count, layer)
    for letter, branch in BRANCHES:
        yield from norm(f"{name}norm_{letter}", f"{path}/{branch}_norm", width, layer)
    for (letter, branch), points in zip(BRANCHES, (config.points, config.frames), strict=True):
        yield from mixing_entries(
            f"{name}adaptive_mixing_{letter}.",
            f"{path}/{branch}_mixing",
            (points, config.multiplier * points),
            groups=config.groups,
            channels=(channels or width) // config.groups,
            width=width,
            layer=layer,
        )


def mixing_entries(
    name: str,
    path: str,
    points: tuple[int, int],
    *,
    groups: int,
    channels: int,
    width: int,
    layer: int | None = None,
) -> Iterator[Entry]:
    """The generator of matrices and the projection. points: before and after mixing.  channels: of
    a group.  width: of the query."""
    made = groups * (channels**2 + points[0] * points[1])
    generator = f"{name}parameter_generator.0"
    kernel = f"{path}/generator_kernel"
    yield Entry(f"{generator}.weight", (made, width), kernel, LINEAR, layer)
    yield Entry(f"{generator}.bias", (made,), f"{path}/generator_bias", layer=layer)
    yield from linear(f"{name}out_proj", f"{path}/out", groups * points[1] * channels, width, layer)


def lateral_entries(inputs: Sequence[int], width: int) -> Iterator[Entry]:
    """The linear maps on a convolutional backbone's stages. inputs: their channels."""
    for level, channels in enumerate(inputs):
        kernel = (width, channels, 1, 1, 1)
        to_matrix = chain(CONV3D, reshape((1, 1, 1, channels, width), (channels, width)))
        path = f"params/space/level_{level}"
        yield Entry(f"lateral_convs.{level}.weight", kernel, f"{path}/kernel", to_matrix)
        yield Entry(f"lateral_convs.{level}.bias", (width,), f"{path}/bias")


def pyramid_entries(inputs: int, width: int) -> Iterator[Entry]:
    """The simple pyramid on a transformer's map of `inputs` channels."""
    half, quarter = inputs // 2, inputs // 4
    for level, channels in enumerate((quarter, half, inputs, inputs)):
        place, path = f"lateral_convs.{level}.", "params/space"
        # Numbers within the file's sequences; activation and pooling have one, too.
        first = (4, 1, 0, 1)[level]
        if level == 0:
            yield from _doubling(f"{place}0", f"{path}/double_0", inputs, half)
            yield from norm(f"{place}1", f"{path}/double_norm_0", half)
            yield from _doubling(f"{place}3", f"{path}/double_0_again", half, quarter)
        elif level == 1:
            yield from _doubling(f"{place}0", f"{path}/double_1", inputs, half)
        kernel = (width, channels, 1, 1, 1)
        to_matrix = chain(CONV3D, reshape((1, 1, 1, channels, width), (channels, width)))
        yield Entry(f"{place}{first}.weight", kernel, f"{path}/lateral_{level}/kernel", to_matrix)
        yield from norm(f"{place}{first + 1}", f"{path}/lateral_norm_{level}", width)
        yield Entry(
            f"{place}{first + 2}.weight",
            (width, width, 3, 3, 3),
            f"{path}/output_{level}/kernel",
            CONV3D,
        )


def _doubling(name: str, path: str, inputs: int, outputs: int) -> Iterator[Entry]:
    """A transposed convolution, whose official kernel is (in, out, 1, 2, 2)."""
    kernel = (inputs, outputs, 1, 2, 2)
    to_ours = chain(
        transpose(0, 2, 3, 4, 1), reshape((inputs, 1, 2, 2, outputs), (inputs, 2, 2, outputs))
    )
    yield Entry(f"{name}.weight", kernel, f"{path}/kernel", to_ours)
    yield Entry(f"{name}.bias", (outputs,), f"{path}/bias")
