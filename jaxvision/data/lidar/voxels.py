"""Points to voxels on the host, as LinK's and SPVNAS's readers do it, and augmentation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxvision.errors import InputError

# Widest extent, in voxels, that the ops' keys represent without shifting (x, y, z).
MAX_EXTENT = (1 << 17, 1 << 17, 1 << 13)


class Voxels(NamedTuple):
    """coords: from 0, in lexicographic (x, y, z) order.  first_point: of each voxel, in file order.
    voxel_of_point: row of every point's voxel."""

    coords: Int[np.ndarray, "v 3"]
    first_point: Int[np.ndarray, " v"]
    voxel_of_point: Int[np.ndarray, " n"]


def capacity_for(count: int) -> int:
    """Rows that arrays of `count` rows are padded to: the next of 1024 * 2^(k/2), so that few sizes
    compile and at most half as many rows again are padding."""
    size = 1024
    while size < count:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size


def voxelise(points: Float[np.ndarray, "n c"], size: float, name: str = "scan") -> Voxels:
    """round-half-even(float32 xyz / size) less its minimum; a voxel stands for its first point.

    InputError for a scan wider than 131072 voxels (8192 in z).
    """
    whole = np.round(points[:, :3].astype(np.float32) / np.float32(size))
    whole -= whole.min(axis=0)
    widest = whole.max(axis=0) + 1
    if (widest > MAX_EXTENT).any():
        raise InputError(
            f"{name}: {tuple(int(w) for w in widest)} voxels of {size} m wide; expected at most "
            f"{MAX_EXTENT}"
        )
    coords = whole.astype(np.int64)
    key = (coords[:, 0] << 32) | (coords[:, 1] << 14) | coords[:, 2]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return Voxels(coords[first].astype(np.int32), first, inverse.astype(np.int32))


class Placement(NamedTuple):
    """One augmentation. angle: about z (rad).  scale: of xyz.  flip: 0 none, 1 x, 2 y, 3 both."""

    angle: float
    scale: float
    flip: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Placement":
        """The published one: any angle, scale 0.95 to 1.05, the four flips equally often."""
        return cls(rng.uniform(0, 2 * np.pi), rng.uniform(0.95, 1.05), int(rng.integers(4)))

    def apply(self, points: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Moved points; rotated in float64, stored in float32. Other columns stay."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        moved = points.copy()
        moved[:, :3] = points[:, :3].astype(np.float64) @ turn * self.scale
        if self.flip in (1, 3):
            moved[:, 0] *= -1
        if self.flip in (2, 3):
            moved[:, 1] *= -1
        return moved
