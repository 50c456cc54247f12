"""Small random voxel sets, as NumPy lists that brute force can read."""

import numpy as np
from hypothesis import strategies as st

CAPACITY = 40

# Few distinct values, so that duplicates, neighbours and scan borders are frequent.
coordinate = st.tuples(
    st.integers(0, 2), st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3)
)
scenes = st.lists(coordinate, min_size=0, max_size=CAPACITY)


def padded(coords: list[tuple], rows: int = CAPACITY) -> tuple[np.ndarray, np.ndarray]:
    """(1, rows, 4) coordinates and which of them are real."""
    array = np.zeros((1, rows, 4), np.int32)
    array[0, : len(coords)] = np.array(coords, np.int32).reshape(-1, 4)
    return array, np.arange(rows)[None] < len(coords)


def wide_scene() -> list[tuple]:
    """128 voxels apart from each other, beside a wall of 640."""
    return [(0, 0, 5 * i, 0) for i in range(128)] + [(0, 1, i, 0) for i in range(640)]
