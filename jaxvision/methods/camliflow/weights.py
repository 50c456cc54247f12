"""Official CamLiFlow state dicts <-> our variables, for the six networks.

Tensors that nothing uses are the counters of batch norms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from jaxvision.methods.camliflow import estimators, pwc
from jaxvision.methods.camliflow.encoders import STAGES
from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig
from jaxvision.methods.camliflow.weight_layers import (
    conv,
    conv_unit,
    depthwise,
    fusion,
    linear,
    mlp,
    norm,
    point_conv,
    point_encoder,
    unit,
    upsampler,
)
from jaxvision.weights.mapping import Entry

# Blocks and inner width of all of ResNet-50's stages.
RESNET_50 = (*STAGES, (6, 256), (3, 512))


def entries(config: RaftConfig | PwcConfig) -> list[Entry]:
    """Every tensor of a checkpoint, in its order."""
    if isinstance(config, RaftConfig):
        return list(raft_entries(config, "core.", "params/core"))
    return list(pwc_entries(config, "core.", "params/core"))


def resnet(name: str, path: str, stages: Sequence[tuple[int, int]] = STAGES) -> Iterator[Entry]:
    """torchvision's names of ResNet-50, up to as many stages. name: in front of them, with its dot.
    stages: blocks and inner width of each."""

    def layer(
        theirs: tuple[str, str], ours: str, inputs: int, outputs: int, window: int
    ) -> Iterator[Entry]:
        yield from conv(
            f"{name}{theirs[0]}", f"{path}/{ours}/conv", inputs, outputs, window, bias=False
        )
        yield from norm(f"{name}{theirs[1]}", f"{path}/{ours}/norm", outputs)

    yield from layer(("conv1", "bn1"), "stem", 3, stages[0][1], 7)
    inputs = stages[0][1]
    for stage, (blocks, inner) in enumerate(stages):
        for block in range(blocks):
            at, here = f"layer{stage + 1}.{block}", f"stages_{stage}_{block}"
            outputs = 4 * inner
            for number, (ours, c, d, window) in enumerate(
                [
                    ("first", inputs, inner, 1),
                    ("middle", inner, inner, 3),
                    ("last", inner, outputs, 1),
                ],
                1,
            ):
                names = f"{at}.conv{number}", f"{at}.bn{number}"
                yield from layer(names, f"{here}/{ours}", c, d, window)
            if not block:
                names = f"{at}.downsample.0", f"{at}.downsample.1"
                yield from layer(names, f"{here}/shortcut", inputs, outputs, 1)
            inputs = outputs


def image_encoder(config: RaftConfig, name: str, path: str) -> Iterator[Entry]:
    """The ResNet and what brings it to the networks' width."""
    yield from resnet(f"{name}.", path, config.stages)
    given = 4 * config.stages[-1][1]
    yield from unit(f"{name}.align", f"{path}/align", given, config.width, taps=2)


def imagenet_entries() -> Iterator[Entry]:
    """The classifier that both image encoders start from, as torchvision publishes it; what lies
    behind its second stage is not used."""
    used = {entry.name for entry in resnet("", "params")}
    for entry in resnet("", "params", RESNET_50):
        counter = entry.name.endswith("num_batches_tracked")  # older files lack it
        yield replace(entry, path=entry.path if entry.name in used else None, optional=counter)
    yield Entry("fc.weight", (1000, 2048), None)
    yield Entry("fc.bias", (1000,), None)


def image_blocks(config: RaftConfig, name: str, path: str) -> Iterator[Entry]:
    """Of RAFT's 2D branch, behind its encoders."""
    width, half = config.width, config.width // 2
    for theirs, ours in (
        ("cnet_aligner", "context_aligner"),
        ("correlation.fnet_aligner", "correlation_aligner"),
    ):
        yield from linear(f"{name}{theirs}", f"{path}/{ours}", width, 2 * width, taps=2)
    motion, ours = f"{name}motion_encoder", f"{path}/motion"
    yield from conv(f"{motion}.conv_c1", f"{ours}/corr_1", config.correlations, 2 * width, 1)
    yield from conv(f"{motion}.conv_c2", f"{ours}/corr_2", 2 * width, 3 * half)
    yield from conv(f"{motion}.conv_f1", f"{ours}/flow_1", 2, width, 7)
    yield from conv(f"{motion}.conv_f2", f"{ours}/flow_2", width, half)
    yield from conv(f"{motion}.conv", f"{ours}/both", 4 * half, width - 2)
    for number, (direction, taps) in enumerate((("rows", (1, 5)), ("columns", (5, 1))), 1):
        for gate, letter in enumerate("zrq"):
            yield from conv(
                f"{name}gru.conv{letter}{number}",
                f"{path}/gru/{direction}_{gate}",
                3 * width,
                width,
                window=taps,
            )
    yield from conv(f"{name}flow_head.conv1", f"{path}/flow_head/first", width, 2 * width)
    yield from conv(f"{name}flow_head.conv2", f"{path}/flow_head/second", 2 * width, 2)
    mask = f"{name}convex_upsampler.mask"
    yield from upsampler(mask, f"{path}/upsampler", width, 2 * width, 8)


def point_blocks(config: RaftConfig, name: str, path: str) -> Iterator[Entry]:
    """Of RAFT's 3D branch, behind its encoders."""
    width, quarter, eighth = config.width, config.width // 4, config.width // 8
    yield from linear(f"{name}cnet_aligner", f"{path}/context_aligner", width, 2 * width, taps=1)
    costs = f"{name}correlation.cost_mlp", f"{path}/correlation/cost_mlp"
    yield from mlp(*costs, (4, quarter, quarter), 2)
    merge = f"{name}correlation.merge", f"{path}/correlation/merge"
    yield from unit(*merge, quarter * config.levels, width, taps=1)
    layers = [
        ("motion_encoder.conv_c1", "motion/corr", width, width),
        ("motion_encoder.conv_f1", "motion/flow_1", 3, quarter),
        ("motion_encoder.conv_f2", "motion/flow_2", quarter, eighth),
        ("motion_encoder.conv", "motion/both", width + eighth, width - 3),
        ("gru.conv_z", "gru/update", 3 * width, width),
        ("gru.conv_r", "gru/reset", 3 * width, width),
        ("gru.conv_q", "gru/new", 3 * width, width),
        ("flow_head.conv1", "flow_head/first", width, width),
        ("flow_head.conv2", "flow_head/second", width, width // 2),
    ]
    for theirs, ours, inputs, outputs in layers:
        yield from depthwise(f"{name}{theirs}", f"{path}/{ours}", inputs, outputs)
    yield from linear(f"{name}flow_head.fc", f"{path}/flow_head/last", width // 2, 3, taps=1)


def raft_entries(config: RaftConfig, name: str, path: str) -> Iterator[Entry]:
    """All of CamLiRAFT or of a sibling."""
    both, wide = config.images and config.points, config.width
    if config.images:
        at = f"{name}branch_2d." if both else name
        yield from image_encoder(config, f"{at}fnet", f"{path}/image_features")
        yield from image_encoder(config, f"{at}cnet", f"{path}/image_context")
        yield from image_blocks(config, at, f"{path}/image")
    if config.points:
        at = f"{name}branch_3d." if both else name
        for theirs, ours in (("fnet", "point_features"), ("cnet", "point_context")):
            net = f"{at}{theirs}."
            names = f"{net}level0_mlp", f"{net}mlps", f"{net}convs"
            yield from point_encoder(names, f"{path}/{ours}", config.point_widths)
        yield from point_blocks(config, at, f"{path}/points")
    for theirs, part, width, normed, present in (
        ("fnet", "features", wide, True, config.fuse_features),
        ("cnet", "context", wide, True, config.fuse_context),
        ("corr", "correlation", config.correlations, False, config.fuse_correlation),
        ("motion", "motion", wide, False, config.fuse_motion),
        ("hidden", "hidden", wide, False, config.fuse_hidden),
    ):
        if present:
            yield from fusion(
                f"{name}clfm_{theirs}.", f"{path}/fuse_{part}", width, wide, normed=normed
            )


def image_pyramid(name: str, path: str) -> Iterator[Entry]:
    inputs = 3
    for level, width in enumerate(pwc.WIDTHS):
        at, here = f"{name}.pyramid_convs.{level}", f"{path}/level_{level}"
        for theirs, ours, c, window in (
            ("down0", "shortcut", inputs, 1),
            ("conv0", "first", inputs, 3),
            ("conv1", "second", width, 3),
        ):
            yield from conv_unit(f"{at}.{theirs}", f"{here}/{ours}", c, width, window, normed=True)
        inputs = width


def image_estimator(name: str, path: str, inputs: int, lite: bool, head: bool) -> Iterator[Entry]:
    widths = [inputs]
    for number, width in enumerate(estimators.ESTIMATOR):
        if lite:
            c = widths[-1] if number < 2 else sum(widths[-2:])
        else:
            c = sum(widths)
        yield from conv_unit(f"{name}.conv{number + 1}", f"{path}/conv_{number}", c, width)
        widths.append(width)
    if head:
        outputs = estimators.estimator_width(inputs, lite)
        yield from conv(f"{name}.conv_last", f"{path}/head", outputs, 2)


def context_network(name: str, path: str, inputs: int) -> Iterator[Entry]:
    for number, width in enumerate(estimators.CONTEXT):
        yield from conv_unit(f"{name}.convs.{number}", f"{path}/conv_{number}", inputs, width)
        inputs = width
    yield from conv(f"{name}.conv_last", f"{path}/head", inputs, 2)


def point_cost(name: str, path: str, width: int, aligned: bool) -> Iterator[Entry]:
    yield from mlp(f"{name}.cost_mlp", f"{path}/cost_mlp", (2 * width + 3, width, width), 2)
    for theirs, ours in (("weight_net1", "weights_within"), ("weight_net2", "weights_across")):
        yield from mlp(f"{name}.{theirs}", f"{path}/{ours}", (3, 8, 8, width), 2)
    if aligned:
        yield from unit(f"{name}.feat_aligner", f"{path}/align", width, estimators.WIDTH, taps=1)


def point_estimator(name: str, path: str, inputs: int, head: bool) -> Iterator[Entry]:
    for number, c in enumerate((inputs, 128)):
        yield from point_conv(f"{name}.point_conv{number + 1}", f"{path}/conv_{number}", c, 128)
    yield from mlp(f"{name}.mlp", f"{path}/mlp", (128, 128, estimators.WIDTH), 1)
    if head:
        yield from linear(f"{name}.conv_last", f"{path}/head", estimators.WIDTH, 3, taps=1)


def aligners(name: str, path: str, taps: int) -> Iterator[Entry]:
    """Of every level, to 64 channels."""
    for level in pwc.LEVELS:
        yield from unit(
            f"{name}.{level}",
            f"{path}_{level - 1}",
            pwc.WIDTHS[level],
            estimators.WIDTH,
            taps=taps,
        )


def pwc_entries(config: PwcConfig, name: str, path: str) -> Iterator[Entry]:
    """All of CamLiPWC or of a sibling."""
    both, head = config.images and config.points, not config.fuse_estimator
    costs = (2 * config.max_displacement + 1) ** 2
    inputs = costs + estimators.WIDTH + 2 + (pwc.CARRIED if config.points else 0)
    outputs = estimators.estimator_width(inputs, config.lite)
    if config.images:
        at = f"{name}branch_2d_" if both else name
        features = "fnet" if both else "feature_pyramid"
        aligner = "fnet_aligners" if both else "pyramid_feature_aligners"
        yield from image_pyramid(f"{at}{features}", f"{path}/image_features")
        yield from aligners(f"{at}{aligner}", f"{path}/image_aligners", 2)
        yield from image_estimator(
            f"{at}flow_estimator", f"{path}/image_estimator", inputs, config.lite, head=head
        )
        yield from context_network(f"{at}context_network", f"{path}/context_network", outputs + 2)
        yield from upsampler(f"{at}up_mask_head", f"{path}/upsampler", pwc.CARRIED, 64, 4)
    if config.points:
        at = f"{name}branch_3d_" if both else name
        net = f"{at}fnet." if both else f"{name}feature_pyramid."
        names = f"{net}level0_mlp", f"{net}pyramid_mlps", f"{net}pyramid_convs"
        yield from point_encoder(names, f"{path}/point_features", pwc.WIDTHS)
        given = 2 * estimators.WIDTH + 3
        if both:
            given += estimators.WIDTH
            yield from aligners(f"{at}fnet_aligners", f"{path}/point_aligners", 1)
        for level in pwc.LEVELS:
            yield from point_cost(
                f"{at}correlations.{level}",
                f"{path}/point_costs_{level - 1}",
                pwc.WIDTHS[level],
                aligned=not both,
            )
        if both:
            yield from aligners(f"{at}correlation_aligners", f"{path}/cost_aligners", 1)
        else:
            yield from aligners(f"{at}pyramid_feat_aligners", f"{path}/point_aligners", 1)
        yield from point_estimator(f"{at}flow_estimator", f"{path}/point_estimator", given, head)
    yield from _pwc_fusions(config, name, path, costs=costs, outputs=outputs)


def _pwc_fusions(
    config: PwcConfig, name: str, path: str, *, costs: int, outputs: int
) -> Iterator[Entry]:
    for theirs, ours, normed, present in (
        ("pyramid_clfms", "fuse_pyramid", True, config.fuse_pyramid),
        ("corr_clfms", "fuse_correlation", False, config.fuse_correlation),
    ):
        for level in pwc.LEVELS if present else ():
            width = pwc.WIDTHS[level]
            image = width if normed else costs
            at, here = f"{name}{theirs}.{level}.", f"{path}/{ours}_{level - 1}"
            yield from fusion(at, here, image, width, normed=normed)
    if config.fuse_estimator:
        width = estimators.WIDTH
        yield from fusion(
            f"{name}estimator_clfm.", f"{path}/fuse_estimator", outputs, width, normed=False
        )
        yield from conv(f"{name}branch_2d_conv_last", f"{path}/image_head", outputs, 2)
        yield from linear(f"{name}branch_3d_conv_last", f"{path}/point_head", width, 3, taps=1)
