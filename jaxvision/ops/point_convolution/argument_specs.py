"""Depthwise convolutions of published configurations, shared by tests and benchmarks."""

from typing import NamedTuple


class ConvolutionSpec(NamedTuple):
    """points: of a cloud, each with `k` of them as neighbours."""

    points: int
    channels: int
    k: int

    def shapes(self, batch: int) -> tuple[tuple[int, ...], ...]:
        """Of features, weights and neighbours."""
        rows = batch, self.points
        return (*rows, self.channels), (*rows, self.k, self.channels), (*rows, self.k)


SPECS = {"camliraft_gru": ConvolutionSpec(2048, 128, 32)}
