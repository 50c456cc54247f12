"""Shapes that published configurations sample with, shared by tests and benchmarks."""

from typing import NamedTuple


class SamplingSpec(NamedTuple):
    """levels: (t, h, w) of each map; t = 0 for pictures.  tokens, points: points in all groups."""

    levels: tuple[tuple[int, int, int], ...]
    channels: int
    tokens: int
    points: int
    groups: int = 1
    padding: str = "zeros"

    @property
    def shared_frames(self) -> bool:
        return self.groups > 1

    def feature_shapes(self, batch: int) -> list[tuple[int, ...]]:
        return [(batch, *size[size[0] == 0 :], self.channels) for size in self.levels]


SPECS = {
    "sparseformer_t": SamplingSpec(((0, 56, 56),), 96, 49, 36),
    "sparseformer_b": SamplingSpec(((0, 56, 56),), 96, 81, 36),
    "sparseformer_btsp_base": SamplingSpec(((0, 56, 56),), 64, 48, 16, padding="border"),
    "sparseformer_video_t": SamplingSpec(((8, 28, 28),), 96, 392, 36),
    "stmixer_slowfast": SamplingSpec(
        ((8, 64, 80), (8, 32, 40), (8, 16, 20), (8, 8, 10)), 256, 100, 128, groups=4
    ),
}
