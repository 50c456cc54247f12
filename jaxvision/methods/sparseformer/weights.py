"""Official SparseFormer state dicts <-> our variables, under both code bases' names; and an image
model's weights for clips."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from jaxtyping import Float

from jaxvision.errors import InputError
from jaxvision.methods.sparseformer.architecture import Architecture, Unit, heads_of
from jaxvision.methods.sparseformer.model import has_transition, plain_runs
from jaxvision.nn.adaptive_mixing import AdaptiveMixing
from jaxvision.weights.layout import CONV2D, LINEAR, Layout, chain, reshape
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OtherLayout
from jaxvision.weights.transformer_entries import attention, linear, mlp, norm

# The paper's names, part by part, and the package's. No tensor changes its shape.
RENAMED = (
    ("adaptive_mixing.tuo_proj.", "adaptive_mixing.out_proj."),
    ("token_roi.", "initial_roi."),
    ("token_embedding.", "initial_embedding."),
    ("ffn.0.", "norm2."),
    ("ln_attn.", "norm1."),
    ("ffn.1.", "mlp.fc1."),
    ("ffn.3.", "mlp.fc2."),
    ("attn.in_proj_", "attn.qkv."),
    ("attn.out_proj.", "attn.proj."),
    ("head.norm.", "norm."),
    ("head.classifier.", "proj."),
)


def to_package_name(name: str) -> str:
    """A tensor of the paper's code as the package calls it."""
    return _renamed(name, RENAMED)


def to_paper_name(name: str) -> str:
    """A tensor of the package as the paper's code calls it."""
    return _renamed(name, [(new, old) for old, new in RENAMED])


def _renamed(name: str, table: Iterable[tuple[str, str]]) -> str:
    # Whole parts only: "norm." must not match inside "layers.1.norm1.".
    for old, new in table:
        at = name.find(old)
        if at == 0 or (at > 0 and name[at - 1] == "." and name.startswith("layers.")):
            return name[:at] + new + name[at + len(old) :]
    return name


def entries_of(architecture: Architecture, paper_names: bool | None = None) -> list[Entry]:
    """Every tensor of a checkpoint, in its order.

    paper_names: the names of the paper's code rather than the package's; None asks the flavour.
    """
    if paper_names is None:
        paper_names = architecture.flavour.paper_names
    build = _Names(architecture, paper_names)
    entries = list(build.all())
    if not paper_names:
        return entries
    return [Entry(to_paper_name(e.name), e.shape, e.path, e.layout, e.layer) for e in entries]


def renamed_layout(paper_names: bool) -> OtherLayout:
    """The other code base's names, for a network whose own are the paper's (or the package's)."""
    theirs, ours = (
        (to_package_name, to_paper_name) if paper_names else (to_paper_name, to_package_name)
    )
    mark = "initial_roi.weight" if paper_names else "token_roi.weight"

    def recognise(names: Iterable[str]) -> bool:
        return mark in set(names)

    def to_official(
        tensors: Mapping[str, np.ndarray], names: Iterable[str]
    ) -> dict[str, np.ndarray]:
        given = {ours(name): tensor for name, tensor in tensors.items()}
        ordered = {name: given.pop(name) for name in names if name in given}
        return ordered | given

    def from_official(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {theirs(name): tensor for name, tensor in tensors.items()}

    return OtherLayout(recognise, to_official, from_official)


def stem_entries(
    channels: int,
    dimensions: int = 2,
    path: str = "params/stem",
    prefix: str = "feat_extractor.",
) -> Iterator[Entry]:
    """The early convolution; a clip model's kernel has a time axis of 1."""
    path = f"{path}/convolution"
    shape: tuple[int, ...] = (channels, 3, 7, 7)
    layout: Layout = CONV2D
    if dimensions == 3:
        still, shape = shape, (channels, 3, 1, 7, 7)
        layout = chain(reshape(shape, still), CONV2D)
    yield Entry(f"{prefix}conv1.weight", shape, f"{path}/kernel", layout)
    yield Entry(f"{prefix}conv1.bias", (channels,), f"{path}/bias")


def mixing_entries(
    module: AdaptiveMixing, points: int, channels: int, width: int, *, paper_names: bool
) -> list[Entry]:
    """Adaptive mixing alone, of `points` points of `channels` by tokens of `width`."""
    entries = _mixing(
        "",
        "params",
        points=points,
        channels=channels,
        width=width,
        outputs=module.outputs,
        hidden=module.hidden,
        biases=module.biases,
    )
    if not paper_names:
        return list(entries)
    return [
        Entry(e.name.replace("out_proj", "tuo_proj"), e.shape, e.path, e.layout) for e in entries
    ]


def _mixing(
    name: str,
    path: str,
    *,
    points: int,
    channels: int,
    width: int,
    outputs: int,
    hidden: int,
    biases: bool,
) -> Iterator[Entry]:
    if biases:
        yield Entry(f"{name}m_beta", (channels,), f"{path}/channel_bias")
        yield Entry(f"{name}s_beta", (outputs,), f"{path}/point_bias")
    made = channels * channels + outputs * points
    generator = f"{name}parameter_generator"
    yield from norm(f"{generator}.0", f"{path}/generator_norm", width)
    yield from linear(f"{generator}.1", f"{path}/generator_hidden", width, hidden)
    yield Entry(f"{generator}.2.weight", (made, hidden), f"{path}/generator_kernel", LINEAR)
    yield Entry(f"{generator}.2.bias", (made,), f"{path}/generator_bias")
    yield from linear(f"{name}out_proj", f"{path}/out", outputs * channels, width)


class _Names:
    """Entries under the package's names, in the order of the code base asked for."""

    def __init__(self, architecture: Architecture, paper_order: bool):
        self.arch, self.paper_order = architecture, paper_order

    def all(self) -> Iterator[Entry]:
        arch, units = self.arch, self.arch.units
        yield from stem_entries(arch.channels, arch.dimensions)
        width, last = units[0].width, units[-1].width
        rows = 1 if arch.flavour.one_embedding else arch.tokens
        yield Entry("initial_roi.weight", (arch.tokens, 2 * arch.dimensions), "params/token_boxes")
        yield Entry("initial_embedding.weight", (rows, width), "params/token_embedding")
        if arch.class_token_before:
            yield Entry("cls_embedding.weight", (1, last), "params/class_embedding")
        layer, runs, first = 0, plain_runs(arch), -1
        for number, unit in enumerate(units):
            if has_transition(arch, number):
                yield from self._transition(f"layers.{layer}", number)
                layer += 1
            if number in runs:
                first = number
            if first >= 0 and number < first + runs[first]:
                path, row = f"params/run_{first}/unit", number - first
                yield from self._unit(f"layers.{layer}", path, unit, number, row)
            else:
                path = f"params/unit_{number}"
                yield from self._unit(f"layers.{layer}", path, unit, number, None)
            layer += 1
        yield from norm("norm", "params/norm", last)
        yield Entry("proj.weight", (arch.outputs, last), "params/head/kernel", LINEAR)
        if arch.head_bias:
            yield Entry("proj.bias", (arch.outputs,), "params/head/bias")

    def _transition(self, name: str, number: int) -> Iterator[Entry]:
        units, path = self.arch.units, f"params/transition_{number}"
        width = units[number].width
        yield from linear(f"{name}.0", path, units[number - 1].width, width)
        if self.arch.flavour.transition_norm:
            yield from norm(f"{name}.1", f"{path}_norm", width)

    def _unit(
        self, name: str, path: str, unit: Unit, number: int, row: int | None
    ) -> Iterator[Entry]:
        operations = set(unit.operations)
        width = unit.width
        if "sample" in operations:
            size = self.arch.points * self.arch.dimensions
            yield Entry(f"{name}.roi_offset_bias", (size,), f"{path}/offset_base")
        if self.arch.flavour.stage_embedding and unit.repeats > 1:
            yield Entry(
                f"{name}.stage_embedding.weight",
                (unit.repeats, width),
                f"params/stage_embedding_{number}",
            )
        if "sample" in operations:
            yield from _mixing(
                f"{name}.adaptive_mixing.",
                f"{path}/mixing",
                points=self.arch.points,
                channels=self.arch.channels,
                width=width,
                outputs=self.arch.mixed_points,
                hidden=self.arch.generator_width(width),
                biases=self.arch.flavour.mixing_biases,
            )
        parts = {
            "mlp": lambda: self._mlp(name, path, width, row),
            "attention": lambda: self._attention(name, path, width, row),
            "offset": lambda: self._offset(name, path, width),
        }
        order = ("mlp", "attention", "offset")
        if not self.paper_order:
            order = ("offset", "attention", "mlp")
        for part in order:
            if ("sample" if part == "offset" else part) in operations:
                yield from parts[part]()
        if "adjust" in operations:
            yield from self._adjust(f"{name}.roi_adjust_module", path, width)
        if "position" in operations:
            yield from norm(f"{name}.pe_transition.0", f"{path}/position_norm", width)
            yield from linear(f"{name}.pe_transition.1", f"{path}/position", width, width)

    def _mlp(self, name: str, path: str, width: int, row: int | None) -> Iterator[Entry]:
        yield from norm(f"{name}.norm2", f"{path}/mlp_norm", width, row)
        yield from mlp(f"{name}.mlp", f"{path}/mlp", width, 4 * width, row)

    def _attention(self, name: str, path: str, width: int, row: int | None) -> Iterator[Entry]:
        sizes = (width, heads_of(width, self.arch.flavour))
        ours = f"{path}/attention"
        projections = attention(f"{name}.attn", ours, sizes, row, qkv_bias="fused")
        before = norm(f"{name}.norm1", f"{ours}_norm", width, row)
        yield from (*projections, *before) if self.paper_order else (*before, *projections)

    def _offset(self, name: str, path: str, width: int) -> Iterator[Entry]:
        size = self.arch.points * self.arch.dimensions
        name = f"{name}.roi_offset_module"
        yield from norm(f"{name}.0", f"{path}/offset_norm", width)
        yield Entry(f"{name}.1.weight", (size, width), f"{path}/offset/kernel", LINEAR)

    def _adjust(self, name: str, path: str, width: int) -> Iterator[Entry]:
        yield from norm(f"{name}.0", f"{path}/adjust_norm", width)
        last = 1
        if self.arch.flavour.adjust_hidden:
            yield from linear(f"{name}.1", f"{path}/adjust_hidden", width, width)
            last = 3
        size = 2 * self.arch.dimensions
        yield Entry(f"{name}.{last}.weight", (size, width), f"{path}/adjust/kernel", LINEAR)


# Clips (sparseformer/media.py of the package): tokens are repeated r times, each copy with its r-th
# of the clip as its box in time; what moves points and boxes in time starts at exactly 0.


def inflated(architecture: Architecture, replicates: int) -> Architecture:
    """The clip model of an image model, with `replicates` times as many tokens."""
    if architecture.dimensions != 2 or replicates < 1:
        raise InputError(
            f"replicates={replicates} of a model of {architecture.dimensions} dimensions: expected "
            "an image model, at least once"
        )
    tokens = architecture.tokens * replicates
    return dataclasses.replace(architecture, tokens=tokens, dimensions=3)


def inflate(tensors: Mapping[str, np.ndarray], replicates: int) -> dict[str, np.ndarray]:
    """Official tensors of an image model -> those of its clip model, under the same names."""
    return {name: _inflate(name, tensor, replicates) for name, tensor in tensors.items()}


def _inflate(name: str, tensor: np.ndarray, replicates: int) -> np.ndarray:
    *_, module, last = ("", *name.split("."))
    if name == "feat_extractor.conv1.weight":
        return tensor[:, :, None]
    if module in ("initial_roi", "token_roi"):
        return inflate_boxes(tensor, replicates)
    if module in ("initial_embedding", "token_embedding"):
        return tensor if len(tensor) == 1 else np.tile(tensor, (replicates, 1))
    if last == "roi_offset_bias":
        return _with_zeros(tensor.reshape(-1, 2)).reshape(-1)
    if ".roi_offset_module.1." in name:
        pairs = tensor.reshape(-1, 2, tensor.shape[-1])
        return _with_zeros(pairs).reshape(-1, tensor.shape[-1])
    if ".roi_adjust_module." in name and tensor.shape[0] == 4 and tensor.ndim == 2:
        moves = tensor.reshape(2, 2, -1)
        return _with_zeros(moves).reshape(6, -1)
    return tensor


def inflate_boxes(boxes: Float[np.ndarray, "n 4"], replicates: int) -> Float[np.ndarray, "m 6"]:
    """The table repeated; copy k of r lies in time between k/r and (k+1)/r."""
    copy = np.repeat(np.arange(replicates), len(boxes))[:, None]
    space = np.tile(boxes, (replicates, 1))
    times = [(copy / replicates), ((copy + 1) / replicates)]
    parts = [space[:, :2], times[0], space[:, 2:], times[1]]
    return np.concatenate(parts, axis=1).astype(boxes.dtype)


def _with_zeros(x: np.ndarray) -> np.ndarray:
    """A zero behind axis 1: (x, y) -> (x, y, 0)."""
    return np.concatenate([x, np.zeros_like(x[:, :1])], axis=1)
