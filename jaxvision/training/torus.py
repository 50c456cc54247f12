"""Where mesh axes that are no whole sides lie on a TPU slice, whose chips are joined as a torus."""

import itertools
import math
from collections.abc import Iterator, Sequence

import jax
import numpy as np


def block_grid(shape: tuple[int, ...], devices: Sequence[jax.Device]) -> np.ndarray | None:
    """Devices of one slice in the form of a mesh, each inner axis over a compact block of chips.

    Eight neighbours in a side of sixteen are a line, along which a chip has one link; as 2 x 4 they
    are joined in two directions, with two. Inner axes, which send most, are placed first. None if
    the devices have no places on a torus or the sizes do not divide its sides.
    """
    places = [(*getattr(d, "coords", ()), getattr(d, "core_on_chip", 0)) for d in devices]
    low = np.min(places, 0)
    sides = tuple(int(side) for side in np.max(places, 0) - low + 1)
    if len(sides) == 1 or math.prod(sides) != len(devices):
        return None
    left, factors = sides, []
    for size in reversed(shape[1:]):
        found = max(_splits(size, left), key=lambda split: _compactness(split, sides), default=None)
        if found is None:
            return None
        factors.append(found)
        left = tuple(side // part for side, part in zip(left, found, strict=True))
    factors.append(left)

    grid = np.empty(sides, object)
    for place, device in zip(places, devices, strict=True):
        grid[tuple(np.asarray(place) - low)] = device
    # Every side as (part of the outermost axis, ..., part of the innermost), then axis by axis.
    outer_first = factors[::-1]
    grid = grid.reshape([part[side] for side in range(len(sides)) for part in outer_first])
    order = [side * len(shape) + axis for axis in range(len(shape)) for side in range(len(sides))]
    return grid.transpose(order).reshape(shape)


def _splits(size: int, sides: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every way to make `size` of one divisor of each side."""
    divisors = [[n for n in range(1, side + 1) if side % n == 0] for side in sides]
    return (split for split in itertools.product(*divisors) if math.prod(split) == size)


def _compactness(split: tuple[int, ...], sides: tuple[int, ...]) -> tuple[int, int]:
    """The links of a chip within such a block (two along a side that it covers whole), then small
    extents."""
    links = sum(
        (2 if part == side else 1) for part, side in zip(split, sides, strict=True) if part > 1
    )
    return links, -sum(split)
