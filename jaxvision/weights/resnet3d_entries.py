"""The official tensors of SlowOnly and SlowFast networks, under the names of both code bases.

Caffe2's files (`.pkl`) have a third set of names, which `caffe2_names` turns into PySlowFast's.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from jaxvision.weights.layout import CONV3D
from jaxvision.weights.mapping import Entry

PATHWAYS = ("slow", "fast")
Window = tuple[int, int, int]
POINT = (1, 1, 1)


class BlockShape(Protocol):
    """What names need to know of a residual block (`nn/resnet3d_config.py`)."""

    @property
    def inputs(self) -> int: ...
    @property
    def inner(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def shortcut(self) -> bool: ...
    @property
    def non_local(self) -> object: ...


class Network(Protocol):
    """What names need to know of a network (`ResNet3DConfig`)."""

    @property
    def pathways(self) -> Sequence[object]: ...
    def stem(self, pathway: int) -> tuple[int, int]: ...
    def stage(self, pathway: int, number: int) -> Sequence[BlockShape]: ...
    def fused(self, number: int) -> tuple[int, int, int] | None: ...


def convolution(
    name: str, path: str, inputs: int, outputs: int, window: Window = POINT
) -> Iterator[Entry]:
    """A kernel without a bias."""
    yield Entry(f"{name}.weight", (outputs, inputs, *window), f"{path}/kernel", CONV3D)


def bias(name: str, path: str, width: int) -> Entry:
    """A convolution's bias."""
    return Entry(f"{name}.bias", (width,), f"{path}/bias")


def norm(name: str, path: str, width: int, counted: bool) -> Iterator[Entry]:
    """A batch norm at `params/...` `path`; counted: with the number of batches that it saw."""
    statistics = path.replace("params/", "batch_stats/", 1)
    for ending, ours in (
        ("weight", f"{path}/scale"),
        ("bias", f"{path}/bias"),
        ("running_mean", f"{statistics}/mean"),
        ("running_var", f"{statistics}/var"),
    ):
        yield Entry(f"{name}.{ending}", (width,), ours)
    if counted:
        yield Entry(f"{name}.num_batches_tracked", (), None, dtype="int64", value=0)


def non_local_entries(
    names: Sequence[str], prefix: str, path: str, width: int, counted: bool
) -> Iterator[Entry]:
    """A non-local block. names: of its query, key, value and last convolution."""
    inner = width // 2
    for name, ours in zip(names, ("query", "key", "value", "out"), strict=True):
        inputs, outputs = (inner, width) if ours == "out" else (width, inner)
        yield from convolution(f"{prefix}{name}", f"{path}/{ours}", inputs, outputs)
        yield bias(f"{prefix}{name}", f"{path}/{ours}", outputs)
    yield from norm(f"{prefix}bn", f"{path}/norm", width, counted)


# PySlowFast's names: STMixer's checkpoints, and its pretraining files.
PYSLOWFAST_NON_LOCAL = ("conv_theta", "conv_phi", "conv_g", "conv_out")


def pyslowfast_entries(network: Network, prefix: str, path: str) -> list[Entry]:
    """All tensors, in the order of a state dict.

    prefix: "backbone." in a detector's file.  path: of our module, "params/..."
    """
    found: list[Entry] = []
    names = PATHWAYS[: len(network.pathways)]
    for p, ours in enumerate(names):
        width, window = network.stem(p)
        name, at = f"{prefix}s1.pathway{p}_stem", f"{path}/{ours}_stem"
        found += convolution(f"{name}.conv", f"{at}/conv", 3, width, (window, 7, 7))
        found += norm(f"{name}.bn", f"{at}/norm", width, True)
    for number in range(1, 6):
        if number > 1:
            for p, ours in enumerate(names):
                blocks, at = network.stage(p, number), f"{path}/{ours}_stage_{number}"
                found += _pyslowfast_stage(blocks, f"{prefix}s{number}.pathway{p}_", at)
        fused = network.fused(number) if number < 5 else None
        if fused is not None:
            inputs, outputs, window = fused
            at, name = f"{path}/fusion_{number}", f"{prefix}s{number}_fuse"
            found += convolution(f"{name}.conv_f2s", f"{at}/conv", inputs, outputs, (window, 1, 1))
            found += norm(f"{name}.bn", f"{at}/norm", outputs, True)
    return found


def _pyslowfast_stage(blocks: Sequence[BlockShape], name: str, path: str) -> Iterator[Entry]:
    for i, b in enumerate(blocks):
        block, ours = f"{name}res{i}.", f"{path}/block_{i}"
        layers = [
            ("branch2.a", "first", b.inputs, b.inner, (b.window, 1, 1)),
            ("branch2.b", "middle", b.inner, b.inner, (1, 3, 3)),
            ("branch2.c", "last", b.inner, b.outputs, POINT),
        ]
        if b.shortcut:
            layers.insert(0, ("branch1", "shortcut", b.inputs, b.outputs, POINT))
        for theirs, layer, c, d, window in layers:
            yield from convolution(f"{block}{theirs}", f"{ours}/{layer}/conv", c, d, window)
            yield from norm(f"{block}{theirs}_bn", f"{ours}/{layer}/norm", d, True)
        if b.non_local is not None:
            prefix, at = f"{name}nonlocal{i}.", f"{path}/non_local_{i}"
            yield from non_local_entries(PYSLOWFAST_NON_LOCAL, prefix, at, b.outputs, True)


# AlphAction's names: CycleACR's checkpoints, and its pretraining files.
ALPHACTION_NON_LOCAL = ("theta", "phi", "g", "out")


def alphaction_entries(network: Network, prefix: str, path: str, counted: bool) -> list[Entry]:
    """All tensors, in the order of a state dict.

    prefix: "backbone." in a detector's file.  counted: whether norms count batches; frozen ones,
    as published, do not.
    """
    found: list[Entry] = []
    for p, ours in enumerate(PATHWAYS[: len(network.pathways)]):
        width, window = network.stem(p)
        name, at = f"{prefix}{ours}.", f"{path}/{ours}_"
        found += convolution(f"{name}conv1", f"{at}stem/conv", 3, width, (window, 7, 7))
        found += norm(f"{name}bn1", f"{at}stem/norm", width, counted)
        for number in range(2, 6):
            blocks, theirs = network.stage(p, number), f"{name}res_nl{number - 1}."
            found += alphaction_stage_entries(blocks, theirs, f"{at}stage_{number}", counted)
    for number in range(1, 5):
        fused = network.fused(number)
        if fused is not None:
            inputs, outputs, window = fused
            at, name = f"{path}/fusion_{number}", f"{prefix}fast.Tconv{number}.conv"
            found += convolution(name, at, inputs, outputs, (window, 1, 1))
            found.append(bias(name, at, outputs))
    return found


def alphaction_stage_entries(
    blocks: Sequence[BlockShape], name: str, path: str, counted: bool
) -> Iterator[Entry]:
    """One residual stage."""
    for i, b in enumerate(blocks):
        block, ours = f"{name}res_{i}.", f"{path}/block_{i}"
        layers = [
            ("btnk.conv1", "first", b.inputs, b.inner, (b.window, 1, 1)),
            ("btnk.conv2", "middle", b.inner, b.inner, (1, 3, 3)),
            ("btnk.conv3", "last", b.inner, b.outputs, POINT),
        ]
        if b.shortcut:
            layers.append(("shortcut", "shortcut", b.inputs, b.outputs, POINT))
        for theirs, layer, c, d, window in layers:
            yield from convolution(f"{block}{theirs}.conv", f"{ours}/{layer}/conv", c, d, window)
            yield from norm(f"{block}{theirs}.bn", f"{ours}/{layer}/norm", d, counted)
        if b.non_local is not None:
            prefix, at = f"{name}nonlocal_{i}.", f"{path}/non_local_{i}"
            yield from non_local_entries(ALPHACTION_NON_LOCAL, prefix, at, b.outputs, counted)
