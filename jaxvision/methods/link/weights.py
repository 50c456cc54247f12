"""Official segmentation state dicts <-> our variables; what the published files are."""

from collections.abc import Iterator

import numpy as np

from jaxvision.methods.link.model import HEAD, SegmentationNetwork
from jaxvision.methods.link.pyramid import LEVELS
from jaxvision.ops.sparse_voxels import weight_order
from jaxvision.weights.layout import LINEAR, SAME, Layout, chain, reshape
from jaxvision.weights.mapping import Entry


def torchsparse_kernel(edge: int) -> Layout:
    """(edge^3, in, out) in torchsparse's order of offsets -> ours (z fastest)."""
    order = weight_order((edge, edge, edge), "torchsparse")
    inverse = np.argsort(order)
    return Layout(lambda x: x[order], lambda x: x[inverse])


KERNELS = {27: torchsparse_kernel(3), 8: torchsparse_kernel(2)}


def norm_entries(name: str, path: str, width: int, used: bool = True) -> Iterator[Entry]:
    """A batch norm: parameters, running statistics, and the counter nothing reads."""
    for official, ours in (
        ("weight", f"params/{path}/scale"),
        ("bias", f"params/{path}/bias"),
        ("running_mean", f"batch_stats/{path}/mean"),
        ("running_var", f"batch_stats/{path}/var"),
    ):
        yield Entry(f"{name}.{official}", (width,), ours if used else None)
    yield Entry(f"{name}.num_batches_tracked", (), None, dtype="int64", value=0)


def convolution_entry(
    name: str, path: str, volume: int, inputs: int, outputs: int, used: bool = True
) -> Entry:
    """A sparse convolution; a kernel of volume 1 is stored as a matrix."""
    ours = f"params/{path}/kernel" if used else None
    if volume == 1:
        shape = (inputs, outputs)
        return Entry(f"{name}.kernel", shape, ours, reshape(shape, (1, *shape)))
    return Entry(f"{name}.kernel", (volume, inputs, outputs), ours, KERNELS[volume])


def layer_entries(
    name: str, path: str, volume: int, inputs: int, outputs: int, used: bool = True, first: int = 0
) -> Iterator[Entry]:
    """A convolution and its batch norm, numbered `first` and `first + 1` inside `name`."""
    yield convolution_entry(
        f"{name}.{first}", f"{path}/SparseConvolution_0", volume, inputs, outputs, used
    )
    yield from norm_entries(f"{name}.{first + 1}", f"{path}/BatchNorm_0", outputs, used)


def residual_entries(
    name: str, path: str, inputs: int, outputs: int, used: bool = True
) -> Iterator[Entry]:
    """A residual block, with its shortcut where widths differ."""
    yield from layer_entries(f"{name}.net", f"{path}/first", 27, inputs, outputs, used)
    yield from layer_entries(f"{name}.net", f"{path}/second", 27, outputs, outputs, used, 3)
    if inputs != outputs:
        yield from layer_entries(f"{name}.downsample", f"{path}/shortcut", 1, inputs, outputs, used)


def block_entries(
    path: str, name: str, channels: int, projection_rows: int, learned_scale: bool
) -> list[Entry]:
    """A LinK block. path: inside the parameters.  name: official prefix with its dot."""
    place = f"params/{path}".rstrip("/")

    def pair(official: str, ours: str) -> list[Entry]:
        return [
            Entry(f"{name}{official}.weight", (channels,), f"{place}/{ours}/scale"),
            Entry(f"{name}{official}.bias", (channels,), f"{place}/{ours}/bias"),
        ]

    square = (channels, channels)
    entries = []
    if learned_scale:
        shape = (1, projection_rows)
        flat = reshape(shape, (projection_rows,))
        entries.append(Entry(f"{name}alpha", shape, f"{place}/alpha", flat))
    return [
        *entries,
        Entry(f"{name}pos_weight.0.weight", (projection_rows, 3), f"{place}/position", LINEAR),
        Entry(f"{name}pre_mix.0.weight", square, f"{place}/pre_mix/kernel", LINEAR),
        *pair("pre_mix.1", "pre_norm"),
        Entry(f"{name}local_mix.0.kernel", (27, *square), f"{place}/local_mix/kernel", KERNELS[27]),
        *pair("norm_local", "norm_local"),
        *pair("norm", "norm"),
    ]


def network_entries(model: SegmentationNetwork, inputs: int = 4, prefix: str = "") -> list[Entry]:
    """Every tensor of a published segmentation network, in its order.

    inputs: channels of a voxel (x, y, z, reflectance).  prefix: "module." in published files.
    The encoder holds a decoder and MinkUNet point transforms that nothing reads: carried along.
    """
    return [
        Entry(
            f"{prefix}{entry.name}",
            entry.shape,
            entry.path,
            entry.layout,
            entry.layer,
            entry.dtype,
            entry.optional,
        )
        for entry in _network_entries(model, inputs)
    ]


def _network_entries(model: SegmentationNetwork, inputs: int) -> Iterator[Entry]:
    width, mink = model.width, model.network == "minkunet"
    yield from layer_entries("stem", "stem_0", 27, inputs, width)
    yield from layer_entries("stem", "stem_1", 27, width, width, first=3)
    for n in range(1, LEVELS):
        down = f"stage{n}.0.net" if mink else f"down{n}.0.net"
        yield from layer_entries(down, f"down{n}", 8, width, width)
        for block in (0, 1):
            name = f"stage{n}.{block + mink}"
            yield from residual_entries(name, f"stage{n}_{block}", width, width)
        if not mink:
            yield from layer_entries(f"stage{n}_tail", f"stage{n}_tail", 27, width, width)
            yield from block_entries(
                f"wide{n}", f"elk{n}.", width, width // model.groups, model.form == "cos_x"
            )
            yield from layer_entries(f"elk{n}_tail", f"wide{n}_tail", 27, width, width)
    used = model.network != "linkencoder"
    for n in range(1, LEVELS):
        yield from layer_entries(f"up{n}.0.net", f"up{n}", 8, width, width, used)
        yield from residual_entries(f"up{n}.1.0", f"up{n}_0", 2 * width, width, used)
        yield from residual_entries(f"up{n}.1.1", f"up{n}_1", width, width, used)
    if used:
        yield Entry(
            "classifier.0.weight", (model.classes, width), "params/classifier/kernel", LINEAR
        )
        yield Entry("classifier.0.bias", (model.classes,), "params/classifier/bias")
    else:
        yield from _encoder_head_entries(model)
    if mink:
        for n in range(3):
            yield Entry(f"point_transforms.{n}.0.weight", (width, width), None)
            yield Entry(f"point_transforms.{n}.0.bias", (width,), None)
            yield from norm_entries(f"point_transforms.{n}.1", "", width, used=False)


def _encoder_head_entries(model: SegmentationNetwork) -> Iterator[Entry]:
    width, share = model.width, HEAD // LEVELS
    # Grouped 1-wide convolution (groups * out, in, 1) -> (groups, in, out).
    grouped = chain(
        reshape((HEAD, width, 1), (LEVELS, share, width)),
        Layout(lambda x: x.transpose(0, 2, 1), lambda x: x.transpose(0, 2, 1)),
    )
    last = (model.classes, HEAD, 1)
    yield Entry("classifier.0.weight", (HEAD, width, 1), "params/head_kernel", grouped)
    yield Entry("classifier.0.bias", (HEAD,), "params/head_bias", SAME)
    yield Entry(
        "classifier.2.weight",
        last,
        "params/classifier/kernel",
        chain(reshape(last, last[:2]), LINEAR),
    )
    yield Entry("classifier.2.bias", (model.classes,), "params/classifier/bias")
