"""Official detection state dicts <-> our variables, in both layouts that spconv has had."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from jaxvision.methods.link.detection.backbone import DetectionBackbone
from jaxvision.methods.link.detection.center_head import branches
from jaxvision.methods.link.detection.detector import Detector
from jaxvision.methods.link.detection.pyramid import STAGES
from jaxvision.methods.link.detection.rpn import RPN
from jaxvision.methods.link.weights import block_entries, norm_entries
from jaxvision.ops.sparse_voxels import weight_order
from jaxvision.weights.layout import CONV2D, LINEAR, Layout, chain, reshape, transpose
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OtherLayout, Tensors

FEATURES = 5


def spconv_kernel(inputs: int, outputs: int, size: tuple[int, int, int]) -> Layout:
    """(out, kz, ky, kx, in) -> (volume, in, out), z fastest.  size: (x, y, z)."""
    x, y, z = size
    order = weight_order(size, "spconv")
    inverse = np.argsort(order)
    return chain(
        reshape((outputs, z, y, x, inputs), (outputs, x * y * z, inputs)),
        transpose(1, 2, 0),
        Layout(lambda w: w[order], lambda w: w[inverse]),
    )


def _sparse_entries(
    name: str,
    path: str,
    inputs: int,
    outputs: int,
    *,
    norm: str | None,
    bias: bool = False,
    size: tuple[int, int, int] = (3, 3, 3),
) -> Iterator[Entry]:
    """A sparse convolution at `path` with its batch norm called `norm`, if it has one."""
    kernel, (x, y, z) = spconv_kernel(inputs, outputs, size), size
    place = f"params/{path}" if norm is None else f"params/{path}/SparseConvolution_0"
    yield Entry(f"{name}.weight", (outputs, z, y, x, inputs), f"{place}/kernel", kernel)
    if bias:
        yield Entry(f"{name}.bias", (outputs,), f"{place}/bias")
    if norm is not None:
        yield from norm_entries(norm, f"{path}/BatchNorm_0", outputs)


def _basic_block(name: str, path: str, width: int) -> Iterator[Entry]:
    for ours, number in (("first", 1), ("second", 2)):
        yield from _sparse_entries(
            f"{name}.conv{number}",
            f"{path}/{ours}",
            width,
            width,
            norm=f"{name}.bn{number}",
            bias=True,
        )


def _parallel_block(name: str, path: str, width: int) -> Iterator[Entry]:
    for ours, number, norm in (("first", 1, f"{name}.bn1"), ("second", 2, None)):
        yield from _sparse_entries(
            f"{name}.conv{number}", f"{path}/{ours}", width, width, norm=norm, bias=True
        )
    yield from norm_entries(f"{name}.bn2", f"{path}/second_norm", width)
    place = f"params/{path}"
    yield Entry(f"{name}.elk.pre_mix.0.weight", (width, width), f"{place}/pre_mix/kernel", LINEAR)
    yield Entry(f"{name}.elk.pre_mix.1.weight", (width,), f"{place}/pre_norm/scale")
    yield Entry(f"{name}.elk.pre_mix.1.bias", (width,), f"{place}/pre_norm/bias")
    yield Entry(f"{name}.elk.pos_weight.0.weight", (width, 3), f"{place}/position", LINEAR)
    # A norm that its block never calls.
    yield from norm_entries(f"{name}.elk.norm", "", width, used=False)


def backbone_entries(model: DetectionBackbone, inputs: int = FEATURES) -> Iterator[Entry]:
    """Every tensor of a published backbone.  inputs: features of a voxel."""
    planes = model.planes
    yield from _sparse_entries("conv_input.0", "input", inputs, planes[0], norm="conv_input.1")
    for n in range(1, STAGES + 1):
        width, first = planes[n - 1], 0
        if n > 1:
            # elkv3 names the strided layer, the others number it inside its stage.
            down = f"down{n}" if model.version == "elkv3" else f"conv{n}"
            first = 0 if model.version == "elkv3" else 3
            yield from _sparse_entries(
                f"{down}.0", f"down{n}", planes[n - 2], width, norm=f"{down}.1"
            )
        for block in (0, 1):
            name, path = f"conv{n}.{first + block}", f"stage{n}_{block}"
            if model.version == "elkv2" and n < STAGES:
                yield from _parallel_block(name, path, width)
            else:
                yield from _basic_block(name, path, width)
        if model.version == "elkv3":
            tail = f"conv{n}_tail"
            yield from _sparse_entries(
                f"{tail}.0", f"stage{n}_tail", width, width, norm=f"{tail}.1"
            )
        if model.version in ("elkv1", "elkv3"):
            yield from block_entries(f"wide{n}", f"elk{n}.", width, width, False)
        if model.version == "elkv3":
            tail = f"elk{n}_tail"
            yield from _sparse_entries(f"{tail}.0", f"wide{n}_tail", width, width, norm=f"{tail}.1")
    last = planes[-1]
    yield from _sparse_entries(
        "extra_conv.0", "flatten", last, last, norm="extra_conv.1", size=(1, 1, 3)
    )


def neck_entries(model: RPN, inputs: int) -> Iterator[Entry]:
    """Every tensor of the neck.  inputs: channels of the bird's-eye map."""
    for block, count in enumerate(model.layers):
        width = model.widths[block]
        for layer in range(count + 1):
            name, number = f"blocks.{block}", 1 + 3 * layer
            path = f"block{block}_{layer}"
            yield Entry(
                f"{name}.{number}.weight",
                (width, inputs, 3, 3),
                f"params/{path}/Conv_0/kernel",
                CONV2D,
            )
            yield from norm_entries(f"{name}.{number + 1}", f"{path}/BatchNorm_0", width)
            inputs = width
    for block, scale in enumerate(model.upsampling):
        width, outputs = model.widths[block], model.upsampled_widths[block]
        name, path = f"deblocks.{block}", f"joined{block}"
        edge = int(scale) if scale > 1 else round(1 / scale)
        if scale > 1:
            shape, layout = (width, outputs, edge, edge), transpose(2, 3, 0, 1)
            ours = f"params/{path}/kernel"
        else:
            shape, layout = (outputs, width, edge, edge), CONV2D
            ours = f"params/{path}/Conv_0/kernel"
        yield Entry(f"{name}.0.weight", shape, ours, layout)
        yield from norm_entries(f"{name}.1", f"{path}/BatchNorm_0", outputs)


def head_entries(
    classes: tuple[int, ...], velocity: bool, width: int, inputs: int
) -> Iterator[Entry]:
    """Every tensor of the head; hidden layers of all branches are rows of stacked leaves."""
    yield Entry(
        "shared_conv.0.weight",
        (width, inputs, 3, 3),
        "params/shared/convolution/kernel",
        CONV2D,
    )
    yield Entry("shared_conv.0.bias", (width,), "params/shared/convolution/bias")
    yield from norm_entries("shared_conv.1", "shared/norm", width)
    sizes = branches(velocity)
    for task, count in enumerate(classes):
        rows = {name: (task * len(sizes) + n, size) for n, (name, size) in enumerate(sizes.items())}
        for name, (row, size) in (rows | {"hm": (task, count)}).items():
            official = f"tasks.{task}.{name}"
            stack = "heat_hidden" if name == "hm" else "box_hidden"
            for entry in (
                Entry(
                    f"{official}.0.weight",
                    (width, width, 3, 3),
                    f"params/{stack}/convolution/kernel",
                    CONV2D,
                ),
                Entry(f"{official}.0.bias", (width,), f"params/{stack}/convolution/bias"),
                *norm_entries(f"{official}.1", f"{stack}/norm", width),
            ):
                yield entry if entry.path is None else replace(entry, layer=row)
            ours = f"params/task{task}_{name}"
            yield Entry(f"{official}.3.weight", (size, width, 3, 3), f"{ours}/kernel", CONV2D)
            yield Entry(f"{official}.3.bias", (size,), f"{ours}/bias")


def with_prefix(entries: Iterator[Entry], name: str, path: str) -> Iterator[Entry]:
    """The same tensors as part of a larger network.  name: official prefix.  path: ours."""
    for entry in entries:
        ours = entry.path
        if ours is not None:
            collection, _, rest = ours.partition("/")
            ours = f"{collection}/{path}/{rest}"
        yield replace(entry, name=f"{name}.{entry.name}", path=ours)


def detector_entries(model: Detector, depth: int = 2) -> list[Entry]:
    """Every tensor of a published detector.  depth: cells in z of the flattened level."""
    backbone = DetectionBackbone(model.version, model.planes, model.form)
    neck = RPN(
        (model.neck_layers,) * 2,
        widths=model.neck_widths,
        upsampled_widths=(model.joined_width,) * 2,
    )
    head = head_entries(model.classes, model.velocity, model.head_width, 2 * model.joined_width)
    return [
        *with_prefix(backbone_entries(backbone), "backbone", "backbone"),
        *with_prefix(neck_entries(neck, model.planes[-1] * depth), "neck", "neck"),
        *with_prefix(head, "bbox_head", "head"),
    ]


def _kernels(tensors: Mapping[str, Any]) -> list[str]:
    return [name for name, tensor in tensors.items() if tensor.ndim == 5]


def has_old_kernels(tensors: Tensors) -> bool:
    """Whether 5-D kernels are spconv 1.x's (kz, ky, kx, in, out), not 2.x's (out, kz, ky, kx, in).

    The flattening layer is (3, 1, 1) in z, y, x, which stands first or second whatever the widths.
    """
    for name in _kernels(tensors):
        if name.endswith("extra_conv.0.weight"):
            return tensors[name].shape[:3] == (3, 1, 1)
    return False


def _to_new(tensors: Tensors, names: Any) -> dict[str, np.ndarray]:
    old = set(_kernels(tensors))
    return {n: t.transpose(4, 0, 1, 2, 3) if n in old else t for n, t in tensors.items()}


def _to_old(tensors: Tensors) -> dict[str, np.ndarray]:
    new = set(_kernels(tensors))
    return {
        n: np.ascontiguousarray(t.transpose(1, 2, 3, 4, 0)) if n in new else t
        for n, t in tensors.items()
    }


SPCONV_1 = OtherLayout(has_old_kernels, _to_new, _to_old)
