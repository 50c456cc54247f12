"""Searches of published configurations, shared by tests and benchmarks."""

from typing import NamedTuple


class SearchSpec(NamedTuple):
    """points, queries: of a cloud.  axes: coordinates."""

    points: int
    queries: int
    axes: int
    k: int

    def shapes(self, batch: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of points and queries."""
        return (batch, self.points, self.axes), (batch, self.queries, self.axes)


SPECS = {
    "camliraft_lookup": SearchSpec(2048, 2048, 3, 16),
    "camliraft_neighbours": SearchSpec(2048, 2048, 3, 32),
    "camliraft_upsampling": SearchSpec(2048, 8192, 3, 3),
    "camliraft_pixels": SearchSpec(2048, 8160, 2, 1),
    "camlipwc_finest_pixels": SearchSpec(4096, 34560, 2, 1),
    "kitti_dense": SearchSpec(8192, 467_000, 3, 3),
}
