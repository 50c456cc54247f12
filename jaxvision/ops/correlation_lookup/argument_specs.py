"""Lookups of published configurations, shared by tests and benchmarks."""

from typing import NamedTuple


class LookupSpec(NamedTuple):
    """size: (height, width) of both feature maps."""

    size: tuple[int, int]
    channels: int
    levels: int = 4
    radius: int = 4

    def shape(self, batch: int) -> tuple[int, int, int, int]:
        return batch, *self.size, self.channels


SPECS = {
    "camliraft_things": LookupSpec((68, 120), 256),
    "camliraft_kitti": LookupSpec((47, 156), 256),
}
