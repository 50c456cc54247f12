"""The device mesh: axes `data`, `fsdp`, `tensor`."""

import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from jaxvision.errors import InputError
from jaxvision.nn.sharding import MESH_AXES
from jaxvision.training.torus import block_grid


def make_mesh(axes: dict[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over all devices; one axis may be -1 and takes what the others leave.

    Several TPU slices (or nodes that report slices) are joined along `data`, so that only its
    all-reduce crosses the slower network. Raises InputError for a mesh the devices cannot fill.
    """
    devices = list(devices if devices is not None else jax.devices())
    shape = resolve(axes, len(devices))
    by_slice: dict[int, list[jax.Device]] = {}
    for device in devices:
        by_slice.setdefault(getattr(device, "slice_index", 0), []).append(device)
    slices = len(by_slice)
    if shape[0] % slices:
        raise InputError(f"mesh.data={shape[0]} does not divide over {slices} slices")
    inner = (shape[0] // slices, *shape[1:])
    grid = np.concatenate([_slice_grid(inner, by_slice[index]) for index in sorted(by_slice)])
    # Auto axes: linen's logical constraints and a sort fail on Explicit ones.
    return Mesh(grid, MESH_AXES, axis_types=(AxisType.Auto,) * 3)


def _slice_grid(shape: tuple[int, int, int], devices: Sequence[jax.Device]) -> np.ndarray:
    """The devices of one slice: JAX's own order where axes cover whole sides of it."""
    try:
        return np.asarray(mesh_utils.create_device_mesh(shape, devices=devices))
    except NotImplementedError:
        grid = block_grid(shape, devices)
        if grid is not None:
            return grid
        return np.asarray(
            mesh_utils.create_device_mesh(shape, devices=devices, allow_split_physical_axes=True)
        )


def resolve(axes: dict[str, int], count: int) -> tuple[int, int, int]:
    """The three axis sizes for `count` devices, with -1 filled in."""
    sizes = [int(axes[name]) for name in MESH_AXES]
    given = math.prod(s for s in sizes if s != -1)
    text = ", ".join(f"{n}={s}" for n, s in zip(MESH_AXES, sizes, strict=True))
    if sizes.count(-1) > 1 or any(s < 1 and s != -1 for s in sizes):
        raise InputError(f"mesh {text}: sizes must be at least 1, and one of them may be -1")
    if -1 in sizes and count % given == 0:
        sizes[sizes.index(-1)] = count // given
    if math.prod(sizes) != count or -1 in sizes:
        raise InputError(
            f"mesh {text} needs {given} devices or a divisor of {count}; {count} found"
        )
    return sizes[0], sizes[1], sizes[2]
