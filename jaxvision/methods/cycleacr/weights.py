"""Official names of CycleACR's tensors, of both of its code bases, and where each lives in ours."""

from collections.abc import Iterator

from jaxvision.methods.cycleacr.head import HeadConfig
from jaxvision.methods.cycleacr.model import Detector, SlowFastMaps, SwinMap
from jaxvision.weights.layout import LINEAR, chain, reshape
from jaxvision.weights.mapping import Entry
from jaxvision.weights.resnet3d_entries import alphaction_entries
from jaxvision.weights.swin3d_entries import swin3d_entries
from jaxvision.weights.transformer_entries import linear
from jaxvision.weights.video_transformer_entries import map_entries

HEAD = "roi_heads.action."
MODULE = "feature_extractor.cycleacr_module."


def point(name: str, path: str, inputs: int, outputs: int) -> Iterator[Entry]:
    """A convolution of one voxel, which ours keeps as a matrix."""
    kernel = (outputs, inputs, 1, 1, 1)
    to_matrix = chain(reshape(kernel, kernel[:2]), LINEAR)
    yield Entry(f"{name}.weight", kernel, f"{path}/kernel", to_matrix)
    yield Entry(f"{name}.bias", (outputs,), f"{path}/bias")


def block_entries(
    name: str, path: str, sizes: tuple[int, int, int, int], moments: int = 0
) -> Iterator[Entry]:
    """An interaction block. name: with its dot.  sizes: width, and channels of what asks, of what
    is asked and of the result."""
    width, inputs, others, outputs = sizes
    if moments:
        for letter, ours in (("k", "key"), ("v", "value")):
            shape = (moments, 1, width, 1, 1, 1)
            table = reshape(shape, (moments, width))
            official = f"{name}temporal_position_{letter}"
            yield Entry(official, shape, f"{path}/position_{ours}", table)
    yield from point(f"{name}query", f"{path}/query", inputs, width)
    yield from point(f"{name}key", f"{path}/key", others, width)
    yield from point(f"{name}value", f"{path}/value", others, width)
    yield from point(f"{name}out", f"{path}/out", width, outputs)
    if inputs != outputs:
        yield from point(f"{name}shortcut", f"{path}/shortcut", inputs, outputs)


def cycle_entries(name: str, path: str, width: int, depth: int, frames: int) -> Iterator[Entry]:
    """The three branches of the cycle. frames: of the context."""
    shape = (frames, width, 1, 1, 1)
    places = reshape(shape, shape[:2])
    yield Entry(f"{name}local_temporal_position", shape, f"{path}/positions", places)
    for branch in ("local_a2c", "local_c2a", "global_a2c"):
        for i in range(depth):
            yield from block_entries(
                f"{name}{branch}_blocks.{i}.", f"{path}/{branch}_{i}", (width,) * 4
            )


def instance_entries(name: str, path: str, config: HeadConfig) -> Iterator[Entry]:
    """The levels of people and of the memory."""
    width, c = config.block.width, config.instances
    for i in range(c.levels):
        yield from block_entries(f"{name}p_blocks.{i}.", f"{path}/people_{i}", (width,) * 4)
    for i in range(c.levels):
        outputs = c.features if i == c.levels - 1 else width
        moments = c.moments if c.positions else 0
        yield from block_entries(
            f"{name}m_blocks.{i}.", f"{path}/memory_{i}", (width, width, width, outputs), moments
        )


def module_entries(
    name: str, path: str, config: HeadConfig, channels: int, frames: int
) -> Iterator[Entry]:
    """Reductions, the cycle, and what other people tell. channels: of a box's features.  frames: of
    the context."""
    width = config.block.width
    for kind in ("actor", "context", "local"):
        yield from point(f"{name}{kind}_dim_reduce", f"{path}/{kind}_reduction", channels, width)
    yield from point(f"{name}roi_dim_reduce", f"{path}/roi_reduction", 2 * width, width)
    yield from cycle_entries(
        f"{name}cycle_modeling.", f"{path}/cycle_modeling", width, config.depth, frames
    )
    yield from instance_entries(
        f"{name}instance_interaction.", f"{path}/instance_interaction", config
    )


def head_entries(
    name: str, path: str, config: HeadConfig, channels: int, frames: int
) -> Iterator[Entry]:
    """The whole head. name: "roi_heads.action." in a detector's file.  path: "params/..." of
    ours."""
    inputs = channels
    if config.cycle:
        yield from module_entries(f"{name}{MODULE}", path, config, channels, frames)
        if config.fusion == "concat":
            inputs += config.instances.features
    extractor = f"{name}feature_extractor."
    yield from linear(f"{extractor}fc1", f"{path}/hidden_1", inputs, config.hidden)
    yield from linear(f"{extractor}fc2", f"{path}/hidden_2", config.hidden, config.hidden)
    yield from linear(
        f"{name}predictor.cls_score", f"{path}/actions", config.hidden, config.classes
    )


def detector_entries(model: Detector) -> list[Entry]:
    """Every tensor of a detector's checkpoint, in its order."""
    channels, frames = model.backbone.channels, model.backbone.frames
    return [
        *backbone_entries(model, "params/backbone/network"),
        *head_entries(HEAD, "params/head", model.config, channels, frames),
    ]


def backbone_entries(model: Detector, path: str) -> list[Entry]:
    """A detector's backbone. path: "params/..." of ours."""
    backbone = model.backbone
    if isinstance(backbone, SlowFastMaps):
        counted = not backbone.config.norm.frozen
        return alphaction_entries(backbone.config, "backbone.", path, counted)
    if isinstance(backbone, SwinMap):
        return list(swin3d_entries(backbone.config, "backbone.", path))
    return map_entries(backbone, "", path)
