"""Points to voxels that keep their first few points: what detectors read."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class HardVoxels(NamedTuple):
    """Voxels in order of first appearance.

    coords: cell x, y, z.  slot_of_point: (voxel, place in it) of each stored point, in the order of
    `stored`, the stored points' rows.  counts: stored points of each voxel.
    left_out: voxels that found no room.  outside: points outside the range.
    """

    coords: Int[np.ndarray, "v 3"]
    stored: Int[np.ndarray, " n"]
    slot_of_point: Int[np.ndarray, "n 2"]
    counts: Int[np.ndarray, " v"]
    left_out: int
    outside: int


@dataclass(frozen=True)
class VoxelGrid:
    """extent: x, y, z minima, then maxima (m).  size: of a voxel in x, y, z (m)."""

    extent: tuple[float, ...]
    size: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels in x, y, z."""
        low, high = np.array(self.extent[:3]), np.array(self.extent[3:])
        x, y, z = np.round((high - low) / np.array(self.size)).astype(int)
        return int(x), int(y), int(z)

    def voxelise(
        self, points: Float[np.ndarray, "n c"], most_voxels: int, most_points: int
    ) -> HardVoxels:
        """floor((point - minimum) / size) in float32. Voxels beyond `most_voxels` and points beyond
        `most_points` of a voxel are left out, first come first kept."""
        low = np.array(self.extent[:3], np.float32)
        cell = np.floor((points[:, :3] - low) / np.array(self.size, np.float32)).astype(np.int64)
        shape = np.array(self.shape)
        inside = np.flatnonzero(np.all((cell >= 0) & (cell < shape), axis=1))
        cell = cell[inside]
        key = (cell[:, 0] * shape[1] + cell[:, 1]) * shape[2] + cell[:, 2]
        _, first, voxel = np.unique(key, return_index=True, return_inverse=True)
        arrival = np.argsort(first)
        rank = np.empty_like(arrival)
        rank[arrival] = np.arange(len(arrival))
        voxel = rank[voxel]
        order = np.argsort(voxel, kind="stable")
        starts = np.searchsorted(voxel[order], np.arange(len(arrival)))
        place = np.empty_like(order)
        place[order] = np.arange(len(order)) - starts[voxel[order]]
        kept = (voxel < most_voxels) & (place < most_points)
        count = min(len(arrival), most_voxels)
        return HardVoxels(
            cell[first[arrival[:count]]].astype(np.int32),
            inside[kept],
            np.stack([voxel[kept], place[kept]], axis=1),
            np.bincount(voxel[kept], minlength=count)[:count].astype(np.int32),
            len(arrival) - count,
            len(points) - len(inside),
        )


def mean_points(points: Float[np.ndarray, "n c"], voxels: HardVoxels) -> Float[np.ndarray, "v c"]:
    """Mean of the stored points of each voxel."""
    chosen, voxel = points[voxels.stored], voxels.slot_of_point[:, 0]
    count = len(voxels.coords)
    sums = [np.bincount(voxel, column, count) for column in chosen.T]
    return (np.stack(sums, axis=1) / np.maximum(voxels.counts, 1)[:, None]).astype(np.float32)
