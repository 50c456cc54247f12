"""Official names of the layers that CamLiFlow's networks are made of <-> our variables.

A convolution of one tap over points is kept as a linear map; the columns of a point convolution's
linear map are in one order on both sides (weight slow, channel fast), as are the interleaved rows
of a fusion's last layer.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from jaxvision.weights.layout import CONV2D, LINEAR, chain, reshape
from jaxvision.weights.mapping import Entry


def linear(
    name: str, path: str, inputs: int, outputs: int, taps: int, bias: bool = True
) -> Iterator[Entry]:
    """A linear map. taps: how many axes of size 1 the official kernel has behind its channels."""
    official = (outputs, inputs) + (1,) * taps
    yield Entry(
        f"{name}.weight",
        official,
        f"{path}/kernel",
        chain(reshape(official, (outputs, inputs)), LINEAR),
    )
    if bias:
        yield Entry(f"{name}.bias", (outputs,), f"{path}/bias")


def conv(
    name: str,
    path: str,
    inputs: int,
    outputs: int,
    window: int | tuple[int, int] = 3,
    *,
    bias: bool = True,
) -> Iterator[Entry]:
    height, width = (window, window) if isinstance(window, int) else window
    yield Entry(f"{name}.weight", (outputs, inputs, height, width), f"{path}/kernel", CONV2D)
    if bias:
        yield Entry(f"{name}.bias", (outputs,), f"{path}/bias")


def norm(name: str, path: str, width: int) -> Iterator[Entry]:
    """A batch norm."""
    statistics = path.replace("params/", "batch_stats/", 1)
    for ending, ours in (
        ("weight", f"{path}/scale"),
        ("bias", f"{path}/bias"),
        ("running_mean", f"{statistics}/mean"),
        ("running_var", f"{statistics}/var"),
    ):
        yield Entry(f"{name}.{ending}", (width,), ours)
    yield Entry(f"{name}.num_batches_tracked", (), None, dtype="int64", value=0)


def unit(
    name: str, path: str, inputs: int, outputs: int, taps: int, normed: bool = False
) -> Iterator[Entry]:
    """A linear map and perhaps its norm."""
    yield from linear(
        f"{name}.conv_fn", f"{path}/linear", inputs, outputs, taps=taps, bias=not normed
    )
    if normed:
        yield from norm(f"{name}.norm_fn", f"{path}/norm", outputs)


def conv_unit(
    name: str, path: str, inputs: int, outputs: int, window: int = 3, *, normed: bool = False
) -> Iterator[Entry]:
    yield from conv(
        f"{name}.conv_fn", f"{path}/conv", inputs, outputs, window=window, bias=not normed
    )
    if normed:
        yield from norm(f"{name}.norm_fn", f"{path}/norm", outputs)


def mlp(name: str, path: str, widths: Sequence[int], taps: int) -> Iterator[Entry]:
    """Units one after the other; widths: of the input and of each output."""
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        yield from unit(
            f"{name}.convs.{number}", f"{path}/layer_{number}", inputs, outputs, taps=taps
        )


def point_conv(
    name: str, path: str, inputs: int, outputs: int, normed: bool = False
) -> Iterator[Entry]:
    yield from mlp(f"{name}.weight_net", f"{path}/weight_net", (3, 8, 16), 2)
    yield from linear(f"{name}.linear", f"{path}/linear", 16 * (inputs + 3), outputs, taps=0)
    if normed:
        yield from norm(f"{name}.norm_fn", f"{path}/norm", outputs)


def depthwise(name: str, path: str, inputs: int, outputs: int) -> Iterator[Entry]:
    yield from unit(f"{name}.mlp.convs.0", f"{path}/mlp", inputs, outputs, taps=1)
    yield from mlp(f"{name}.weight_net", f"{path}/weight_net", (3, 8, 32, outputs), 2)


def selective_fusion(
    name: str, path: str, image: int, points: int, width: int, *, taps: int, normed: bool
) -> Iterator[Entry]:
    for theirs, ours, inputs in (
        ("align1", "align_image", image),
        ("align2", "align_points", points),
    ):
        yield from unit(
            f"{name}.{theirs}", f"{path}/{ours}", inputs, width, taps=taps, normed=normed
        )
    half = width // 2
    yield from linear(f"{name}.fc_mid.0", f"{path}/fc_mid", width, half, taps=0, bias=False)
    yield from linear(f"{name}.fc_out.0", f"{path}/fc_out", half, 2 * width, taps=0, bias=False)


def fusion(
    name: str, path: str, image: int, points: int, normed: bool, *, kind: str = "sk"
) -> Iterator[Entry]:
    """A Bi-CLFM. image, points: its widths."""
    interp, ours = f"{name}interp", f"{path}/to_pixels"
    yield from unit(f"{interp}.out_conv", f"{ours}/out", points, points, taps=2, normed=normed)
    yield from unit(f"{interp}.score_net.0", f"{ours}/score_0", 3, 16, taps=2)
    yield from unit(f"{interp}.score_net.1", f"{ours}/score_1", 16, points, taps=2)
    yield from unit(f"{name}mlps3d", f"{path}/to_points", image, image, taps=1, normed=normed)
    for theirs, mine, width, taps in (
        ("fuse2d", "fuse_image", image, 2),
        ("fuse3d", "fuse_points", points, 1),
    ):
        at, here = f"{name}{theirs}", f"{path}/{mine}"
        if kind == "sk":
            yield from selective_fusion(at, here, image, points, width, taps=taps, normed=normed)
            continue
        if kind == "concat":
            yield from unit(
                f"{at}.mlp", f"{here}/mlp", image + points, width, taps=taps, normed=normed
            )
            continue
        for align, side, inputs in (
            ("align1", "align_image", image),
            ("align2", "align_points", points),
        ):
            yield from unit(
                f"{at}.{align}", f"{here}/{side}", inputs, width, taps=taps, normed=normed
            )
        if kind == "gated":
            yield from unit(f"{at}.mlp1", f"{here}/gate_image", width, 2, taps=taps)
            yield from unit(f"{at}.mlp2", f"{here}/gate_points", width, 2, taps=taps)


def upsampler(name: str, path: str, inputs: int, hidden: int, factor: int) -> Iterator[Entry]:
    yield from conv(f"{name}.0", f"{path}/first", inputs, hidden)
    yield from conv(f"{name}.2", f"{path}/second", hidden, 9 * factor**2, 1)


def point_encoder(names: tuple[str, str, str], path: str, widths: Sequence[int]) -> Iterator[Entry]:
    """names: of the first layers, of those before a convolution, and of the convolutions."""
    first, layers, convs = names
    yield from mlp(first, f"{path}/level_0", (3, widths[0], widths[0]), 1)
    steps = list(pairwise(widths))
    for level, (inputs, outputs) in enumerate(steps):
        yield from mlp(f"{layers}.{level}", f"{path}/mlp_{level + 1}", (inputs, inputs, outputs), 1)
    for level, (_, outputs) in enumerate(steps):
        yield from point_conv(
            f"{convs}.{level}", f"{path}/conv_{level + 1}", outputs, outputs, normed=True
        )
