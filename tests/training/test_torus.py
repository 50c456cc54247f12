from types import SimpleNamespace

import numpy as np
import pytest

from jaxvision.training.torus import block_grid


def slice_of(*sides: int, cores: int = 1) -> list:
    """Devices of a slice, as JAX describes TPUs."""
    return [
        SimpleNamespace(coords=tuple(place[:-1]), core_on_chip=place[-1])
        for place in np.ndindex(*sides, cores)
    ]


def extents(devices) -> tuple[int, ...]:
    """How far a group of devices reaches along each side."""
    places = np.array([device.coords for device in np.ravel(devices)])
    return tuple((np.ptp(places, 0) + 1).tolist())


@pytest.mark.parametrize(
    ("sides", "shape", "block"),
    [
        ((16, 16, 1), (32, 8, 1), (2, 4, 1)),
        ((16, 16, 1), (64, 4, 1), (2, 2, 1)),
        ((16, 16, 1), (8, 32, 1), (2, 16, 1)),
        ((8, 8, 16), (128, 8, 1), (2, 2, 2)),
    ],
)
def test_an_inner_axis_is_a_compact_block(sides, shape, block):
    grid = block_grid(shape, slice_of(*sides))
    assert grid.shape == shape
    assert len(set(map(id, grid.flat))) == grid.size
    for group in grid[:, :, 0]:
        assert sorted(extents(group)) == sorted(block)


def test_the_innermost_axis_is_placed_first_and_each_group_is_its_neighbours():
    grid = block_grid((4, 4, 4), slice_of(8, 8, 1))
    for row in grid.reshape(-1, 4):
        assert extents(row) == (2, 2, 1)
    for plane in grid:
        assert sorted(extents(plane)) == [1, 4, 4]


def test_cores_of_a_chip_count_as_a_side():
    grid = block_grid((8, 2, 2), slice_of(4, 4, cores=2))
    assert grid.shape == (8, 2, 2)
    assert len(set(map(id, grid.flat))) == 32
    for pair in grid.reshape(-1, 2):
        assert extents(pair) == (1, 1)


def test_devices_without_places_or_sizes_that_do_not_divide_have_no_blocks():
    assert block_grid((2, 2, 1), [SimpleNamespace(id=n) for n in range(4)]) is None
    assert block_grid((2, 2, 1), slice_of(2, 2)[:3] + slice_of(3, 2)[-1:]) is None
    assert block_grid((2, 3, 1), slice_of(6, 1)) is not None
    assert block_grid((2, 3, 1), slice_of(2, 2)) is None
