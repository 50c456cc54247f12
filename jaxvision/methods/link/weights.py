"""Official tensors that segmentation and detection networks have in common."""

from collections.abc import Iterator

import numpy as np

from jaxvision.ops.sparse_voxels import weight_order
from jaxvision.weights.layout import LINEAR, Layout, reshape
from jaxvision.weights.mapping import Entry


def torchsparse_kernel(edge: int) -> Layout:
    """(edge^3, in, out) in torchsparse's order of offsets -> ours (z fastest)."""
    order = weight_order((edge, edge, edge), "torchsparse")
    inverse = np.argsort(order)
    return Layout(lambda x: x[order], lambda x: x[inverse])


# By volume.
TORCHSPARSE_KERNELS = {27: torchsparse_kernel(3), 8: torchsparse_kernel(2)}


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
    local = TORCHSPARSE_KERNELS[27]
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
        Entry(f"{name}local_mix.0.kernel", (27, *square), f"{place}/local_mix/kernel", local),
        *pair("norm_local", "norm_local"),
        *pair("norm", "norm"),
    ]
