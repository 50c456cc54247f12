"""Official segmentation state dicts <-> our variables."""

from collections.abc import Iterator
from dataclasses import replace

from jaxvision.methods.link.levels import LEVELS
from jaxvision.methods.link.segmentation.network import HEAD, SegmentationNetwork
from jaxvision.methods.link.weights import TORCHSPARSE_KERNELS, block_entries, norm_entries
from jaxvision.weights.layout import LINEAR, SAME, Layout, chain, reshape
from jaxvision.weights.mapping import Entry


def layer_entries(
    name: str,
    path: str,
    shape: tuple[int, int, int],
    used: bool = True,
    first: int = 0,
) -> Iterator[Entry]:
    """A sparse convolution and its batch norm, numbered `first` and `first + 1` inside `name`.

    shape: volume, inputs, outputs; a kernel of volume 1 is stored as a matrix.
    used: whether our network has them.
    """
    volume, outputs = shape[0], shape[2]
    official: tuple[int, ...] = shape
    if volume == 1:
        official, layout = shape[1:], reshape(shape[1:], shape)
    else:
        layout = TORCHSPARSE_KERNELS[volume]
    ours = f"params/{path}/SparseConvolution_0/kernel" if used else None
    yield Entry(f"{name}.{first}.kernel", official, ours, layout)
    yield from norm_entries(f"{name}.{first + 1}", f"{path}/BatchNorm_0", outputs, used)


def residual_entries(
    name: str, path: str, inputs: int, outputs: int, used: bool = True
) -> Iterator[Entry]:
    """A residual block, with its shortcut where widths differ."""
    yield from layer_entries(f"{name}.net", f"{path}/first", (27, inputs, outputs), used)
    yield from layer_entries(f"{name}.net", f"{path}/second", (27, outputs, outputs), used, first=3)
    if inputs != outputs:
        shape = (1, inputs, outputs)
        yield from layer_entries(f"{name}.downsample", f"{path}/shortcut", shape, used)


def network_entries(model: SegmentationNetwork, inputs: int = 4, prefix: str = "") -> list[Entry]:
    """Every tensor of a published segmentation network, in its order.

    inputs: channels of a voxel (x, y, z, reflectance).  prefix: "module." in published files.
    The encoder holds a decoder and MinkUNet point transforms that nothing reads: carried along.
    """
    entries = _network_entries(model, inputs)
    return [replace(entry, name=f"{prefix}{entry.name}") for entry in entries]


def _network_entries(model: SegmentationNetwork, inputs: int) -> Iterator[Entry]:
    width, mink = model.width, model.network == "minkunet"
    same, strided = (27, width, width), (8, width, width)
    yield from layer_entries("stem", "stem_0", (27, inputs, width))
    yield from layer_entries("stem", "stem_1", same, first=3)
    for n in range(1, LEVELS):
        down = f"stage{n}.0.net" if mink else f"down{n}.0.net"
        yield from layer_entries(down, f"down{n}", strided)
        for block in (0, 1):
            name = f"stage{n}.{block + mink}"
            yield from residual_entries(name, f"stage{n}_{block}", width, width)
        if not mink:
            yield from layer_entries(f"stage{n}_tail", f"stage{n}_tail", same)
            yield from block_entries(
                f"wide{n}", f"elk{n}.", width, width // model.groups, model.form == "cos_x"
            )
            yield from layer_entries(f"elk{n}_tail", f"wide{n}_tail", same)
    used = model.network != "linkencoder"
    for n in range(1, LEVELS):
        yield from layer_entries(f"up{n}.0.net", f"up{n}", strided, used)
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
