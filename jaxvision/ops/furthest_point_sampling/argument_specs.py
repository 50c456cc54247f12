"""Samplings of published configurations, shared by tests and benchmarks."""

from typing import NamedTuple


class SamplingSpec(NamedTuple):
    """points of a cloud, and how many are taken."""

    points: int
    samples: int

    def shape(self, batch: int) -> tuple[int, int, int]:
        return batch, self.points, 3


SPECS = {"camliflow": SamplingSpec(8192, 4096)}
