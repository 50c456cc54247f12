"""Official SparseFormer state dicts <-> our variables, under both code bases' names."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from jaxvision.methods.sparseformer.architecture import Architecture, Unit, heads_of
from jaxvision.methods.sparseformer.model import has_transition, plain_runs
from jaxvision.nn.adaptive_mixing import AdaptiveMixing
from jaxvision.weights.layout import (
    CONV2D,
    LINEAR,
    SAME,
    Layout,
    chain,
    heads_bias,
    heads_in,
    heads_out,
    reshape,
)
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OtherLayout

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
        points, channels, width, module.outputs, module.hidden, module.biases, "", "params"
    )
    if not paper_names:
        return list(entries)
    return [
        Entry(e.name.replace("out_proj", "tuo_proj"), e.shape, e.path, e.layout) for e in entries
    ]


def _mixing(
    points: int,
    channels: int,
    width: int,
    outputs: int,
    hidden: int,
    biases: bool,
    name: str,
    path: str,
) -> Iterator[Entry]:
    if biases:
        yield Entry(f"{name}m_beta", (channels,), f"{path}/channel_bias")
        yield Entry(f"{name}s_beta", (outputs,), f"{path}/point_bias")
    made = channels * channels + outputs * points
    generator = f"{name}parameter_generator"
    yield from _norm(f"{generator}.0", f"{path}/generator_norm", width)
    yield from _linear(f"{generator}.1", f"{path}/generator_hidden", width, hidden)
    yield Entry(f"{generator}.2.weight", (made, hidden), f"{path}/generator_kernel", LINEAR)
    yield Entry(f"{generator}.2.bias", (made,), f"{path}/generator_bias")
    yield from _linear(f"{name}out_proj", f"{path}/out", outputs * channels, width)


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
        yield from _norm("norm", "params/norm", last)
        yield Entry("proj.weight", (arch.outputs, last), "params/head/kernel", LINEAR)
        if arch.head_bias:
            yield Entry("proj.bias", (arch.outputs,), "params/head/bias")

    def _transition(self, name: str, number: int) -> Iterator[Entry]:
        units, path = self.arch.units, f"params/transition_{number}"
        width = units[number].width
        yield from _linear(f"{name}.0", path, units[number - 1].width, width)
        if self.arch.flavour.transition_norm:
            yield from _norm(f"{name}.1", f"{path}_norm", width)

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
                self.arch.points,
                self.arch.channels,
                width,
                self.arch.mixed_points,
                self.arch.generator_width(width),
                self.arch.flavour.mixing_biases,
                f"{name}.adaptive_mixing.",
                f"{path}/mixing",
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
            yield from _norm(f"{name}.pe_transition.0", f"{path}/position_norm", width)
            yield from _linear(f"{name}.pe_transition.1", f"{path}/position", width, width)

    def _mlp(self, name: str, path: str, width: int, row: int | None) -> Iterator[Entry]:
        yield from _norm(f"{name}.norm2", f"{path}/mlp_norm", width, row)
        yield from _linear(f"{name}.mlp.fc1", f"{path}/mlp/up", width, 4 * width, row)
        yield from _linear(f"{name}.mlp.fc2", f"{path}/mlp/down", 4 * width, width, row)

    def _attention(self, name: str, path: str, width: int, row: int | None) -> Iterator[Entry]:
        heads = heads_of(width, self.arch.flavour)
        ours = f"{path}/attention"
        projections = [
            Entry(
                f"{name}.attn.qkv.weight",
                (3 * width, width),
                f"{ours}/qkv/kernel",
                heads_out(width, heads, fused=3),
                row,
            ),
            Entry(
                f"{name}.attn.qkv.bias",
                (3 * width,),
                f"{ours}/qkv/bias",
                heads_bias(heads, fused=3),
                row,
            ),
            Entry(
                f"{name}.attn.proj.weight",
                (width, width),
                f"{ours}/out/kernel",
                heads_in(width, heads),
                row,
            ),
            Entry(f"{name}.attn.proj.bias", (width,), f"{ours}/out/bias", SAME, row),
        ]
        norm = list(_norm(f"{name}.norm1", f"{path}/attention_norm", width, row))
        yield from (*projections, *norm) if self.paper_order else (*norm, *projections)

    def _offset(self, name: str, path: str, width: int) -> Iterator[Entry]:
        size = self.arch.points * self.arch.dimensions
        name = f"{name}.roi_offset_module"
        yield from _norm(f"{name}.0", f"{path}/offset_norm", width)
        yield Entry(f"{name}.1.weight", (size, width), f"{path}/offset/kernel", LINEAR)

    def _adjust(self, name: str, path: str, width: int) -> Iterator[Entry]:
        yield from _norm(f"{name}.0", f"{path}/adjust_norm", width)
        last = 1
        if self.arch.flavour.adjust_hidden:
            yield from _linear(f"{name}.1", f"{path}/adjust_hidden", width, width)
            last = 3
        size = 2 * self.arch.dimensions
        yield Entry(f"{name}.{last}.weight", (size, width), f"{path}/adjust/kernel", LINEAR)


def _norm(name: str, path: str, width: int, row: int | None = None) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", (width,), f"{path}/scale", layer=row)
    yield Entry(f"{name}.bias", (width,), f"{path}/bias", layer=row)


def _linear(
    name: str, path: str, inputs: int, outputs: int, row: int | None = None
) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", (outputs, inputs), f"{path}/kernel", LINEAR, row)
    yield Entry(f"{name}.bias", (outputs,), f"{path}/bias", layer=row)
