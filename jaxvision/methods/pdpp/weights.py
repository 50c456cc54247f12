"""Official PDPP state dicts <-> our variables; what the published files are."""

import itertools
from collections.abc import Iterator

from jaxvision.methods.pdpp.blocks import ConvolutionBlock, Resample, ResidualBlock
from jaxvision.methods.pdpp.classifier import TaskClassifier
from jaxvision.methods.pdpp.diffusion import cosine_schedule
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.weights.layout import CONV1D, LINEAR, transpose
from jaxvision.weights.mapping import Entry

# A transposed convolution keeps (in, out, taps), and its taps are not flipped.
TRANSPOSED = transpose(2, 0, 1)


def planner_entries(
    model: TemporalUNet, diffusion_steps: int, path: str = "params", data_parallel: bool = True
) -> list[Entry]:
    """Every tensor of a planner checkpoint (its "ema" or "model" part), in its order.

    The twelve schedule tables come first; they follow from `diffusion_steps`, so they are carried
    along and not used.  path: where the network's parameters are in our variables.
    data_parallel: published files have the prefix "module.".
    """
    prefix = "module." if data_parallel else ""
    tables = [
        Entry(f"{prefix}{name}", table.shape, None, value=table)
        for name, table in cosine_schedule(diffusion_steps).tables().items()
    ]
    return [*tables, *unet_entries(model, path, f"{prefix}model.")]


def unet_entries(model: TemporalUNet, path: str = "params", prefix: str = "") -> list[Entry]:
    """Every tensor of the temporal U-Net, in the reference's order."""
    entries: list[Entry] = []
    widths, width = model.widths, model.width
    time_width = width if model.time_embedding else 0

    def block(name: str, ours: str, inputs: int, outputs: int) -> None:
        described = ResidualBlock(inputs, outputs, time_width)
        entries.extend(residual_block_entries(described, f"{path}/{ours}", f"{prefix}{name}"))

    def resample(name: str, ours: str, outputs: int, up: bool) -> None:
        entries.extend(resample_entries(Resample(outputs, up), f"{path}/{ours}", f"{prefix}{name}"))

    if time_width:
        hidden = 4 * width
        entries += linear_entries(f"{prefix}time_mlp.1", f"{path}/time_hidden", width, hidden)
        entries += linear_entries(f"{prefix}time_mlp.3", f"{path}/time_output", hidden, width)
    for level, (inputs, outputs) in enumerate(
        zip((model.layout.width, *widths), widths, strict=False)
    ):
        block(f"downs.{level}.0", f"down_blocks_{level}_0", inputs, outputs)
        block(f"downs.{level}.1", f"down_blocks_{level}_1", outputs, outputs)
        if level < len(widths) - 1:
            resample(f"downs.{level}.2", f"down_samples_{level}", outputs, False)
    for level, (inputs, outputs) in enumerate(zip(widths[:0:-1], widths[-2::-1], strict=True)):
        block(f"ups.{level}.0", f"up_blocks_{level}_0", 2 * inputs, outputs)
        block(f"ups.{level}.1", f"up_blocks_{level}_1", outputs, outputs)
        resample(f"ups.{level}.2", f"up_samples_{level}", outputs, True)
    block("mid_block1", "middle_0", widths[-1], widths[-1])
    block("mid_block2", "middle_1", widths[-1], widths[-1])
    entries += block_entries(
        ConvolutionBlock(width, width), f"{path}/head", f"{prefix}final_conv.0"
    )
    entries += convolution_entries(
        f"{prefix}final_conv.1", f"{path}/output", width, model.layout.width, taps=1
    )
    return entries


def residual_block_entries(block: ResidualBlock, path: str, name: str) -> Iterator[Entry]:
    """One residual block."""
    first = ConvolutionBlock(block.inputs, block.outputs)
    second = ConvolutionBlock(block.outputs, block.outputs)
    yield from block_entries(first, f"{path}/first", f"{name}.blocks.0")
    yield from block_entries(second, f"{path}/second", f"{name}.blocks.1")
    if block.time_width:
        yield from linear_entries(
            f"{name}.time_mlp.1", f"{path}/time", block.time_width, block.outputs
        )
    if block.inputs != block.outputs:
        yield from convolution_entries(
            f"{name}.residual_conv", f"{path}/shortcut", block.inputs, block.outputs, taps=1
        )


def block_entries(block: ConvolutionBlock, path: str, name: str) -> Iterator[Entry]:
    """Convolution and norm of one convolution block."""
    yield from convolution_entries(
        f"{name}.block.0", f"{path}/convolution", block.inputs, block.outputs, taps=3
    )
    yield Entry(f"{name}.block.2.weight", (block.outputs,), f"{path}/norm/scale")
    yield Entry(f"{name}.block.2.bias", (block.outputs,), f"{path}/norm/bias")


def convolution_entries(
    name: str, path: str, inputs: int, outputs: int, taps: int
) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", (outputs, inputs, taps), f"{path}/kernel", CONV1D)
    yield Entry(f"{name}.bias", (outputs,), f"{path}/bias")


def resample_entries(resample: Resample, path: str, name: str) -> Iterator[Entry]:
    """A Down or an Up; they lay their kernels out differently."""
    width, layout = resample.width, TRANSPOSED if resample.up else CONV1D
    yield Entry(f"{name}.conv.weight", (width, width, 2), f"{path}/kernel", layout)
    yield Entry(f"{name}.conv.bias", (width,), f"{path}/bias")


def linear_entries(name: str, path: str, inputs: int, outputs: int) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", (outputs, inputs), f"{path}/kernel", LINEAR)
    yield Entry(f"{name}.bias", (outputs,), f"{path}/bias")


def classifier_entries(
    model: TaskClassifier, path: str = "params", data_parallel: bool = True
) -> list[Entry]:
    """Every tensor of a task classifier's checkpoint, in its order."""
    prefix = "module." if data_parallel else ""
    sizes = (model.observation, *model.hidden, model.classes)
    return [
        entry
        for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes), 1)
        for entry in linear_entries(f"{prefix}fc{number}", f"{path}/fc{number}", inputs, outputs)
    ]
