"""Correlations with nearest points of published configurations, shared by tests and benchmarks."""

from typing import NamedTuple


class CorrelationSpec(NamedTuple):
    """points, others: of the first and the second cloud."""

    points: int
    others: int
    channels: int
    k: int

    def shapes(self, batch: int) -> tuple[tuple[int, ...], ...]:
        """Of both clouds' features, then of both clouds' places."""
        first, second = (batch, self.points), (batch, self.others)
        return (*first, self.channels), (*second, self.channels), (*first, 3), (*second, 3)


# CamLiRAFT's levels: each half the one before.
SPECS = {
    f"camliraft_{others}": CorrelationSpec(2048, others, 128, 16)
    for others in (2048, 1024, 512, 256)
}
