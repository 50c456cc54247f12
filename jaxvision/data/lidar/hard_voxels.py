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
        self, points: Float[np.ndarray, "n c"], max_voxels: int, max_points: int
    ) -> HardVoxels:
        """floor((point - minimum) / size) in float32. Voxels beyond `max_voxels` and points beyond
        `max_points` of a voxel are left out, first come first kept."""
        low = np.array(self.extent[:3], np.float32)
        cell = np.floor((points[:, :3] - low) / np.array(self.size, np.float32)).astype(np.int64)
        shape = np.array(self.shape)
        # 1. Voxels of the points inside, numbered by the first point of each.
        inside = np.flatnonzero(np.all((cell >= 0) & (cell < shape), axis=1))
        cell = cell[inside]
        key = (cell[:, 0] * shape[1] + cell[:, 1]) * shape[2] + cell[:, 2]
        _, first, voxel = np.unique(key, return_index=True, return_inverse=True)
        arrival = np.argsort(first)
        rank = np.empty_like(arrival)
        rank[arrival] = np.arange(len(arrival))
        voxel = rank[voxel]
        # 2. The place of every point among those of its voxel, in the scan's order.
        order = np.argsort(voxel, kind="stable")
        starts = np.searchsorted(voxel[order], np.arange(len(arrival)))
        place = np.empty_like(order)
        place[order] = np.arange(len(order)) - starts[voxel[order]]
        # 3. What is kept.
        kept = (voxel < max_voxels) & (place < max_points)
        count = min(len(arrival), max_voxels)
        return HardVoxels(
            coords=cell[first[arrival[:count]]].astype(np.int32),
            stored=inside[kept],
            slot_of_point=np.stack([voxel[kept], place[kept]], axis=1),
            counts=np.bincount(voxel[kept], minlength=count)[:count].astype(np.int32),
            left_out=len(arrival) - count,
            outside=len(points) - len(inside),
        )

    def pack(
        self, points: Float[np.ndarray, "n c"], capacity: int, max_points: int
    ) -> tuple[dict[str, np.ndarray], int]:
        """`coords`, `features` (mean points) and `count`, `capacity` rows in lexicographic order of
        the voxels, zeros behind them; and how many voxels found no room."""
        found = self.voxelise(points, capacity, max_points)
        count = len(found.coords)
        order = np.lexsort(found.coords.T[::-1])
        coords = np.zeros((capacity, 3), np.int32)
        features = np.zeros((capacity, points.shape[1]), np.float32)
        coords[:count] = found.coords[order]
        features[:count] = mean_points(points, found)[order]
        packed = {"coords": coords, "features": features, "count": np.asarray(count, np.int32)}
        return packed, found.left_out


def mean_points(points: Float[np.ndarray, "n c"], voxels: HardVoxels) -> Float[np.ndarray, "v c"]:
    """Mean of the stored points of each voxel."""
    chosen, voxel = points[voxels.stored], voxels.slot_of_point[:, 0]
    count = len(voxels.coords)
    sums = [np.bincount(voxel, column, count) for column in chosen.T]
    return (np.stack(sums, axis=1) / np.maximum(voxels.counts, 1)[:, None]).astype(np.float32)
