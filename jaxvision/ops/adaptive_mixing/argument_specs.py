"""Shapes that published configurations mix with, shared by tests and benchmarks."""

from typing import NamedTuple


class MixingSpec(NamedTuple):
    """tokens: of one sample, times groups.  activations, norm_epsilon: see `adaptive_mixing`."""

    tokens: int
    points: int
    outputs: int
    channels: int
    activations: tuple[str, str] = ("gelu", "gelu")
    norm_epsilon: float | None = None


SPECS = {
    "sparseformer_t": MixingSpec(49, 36, 36, 96),
    "sparseformer_b": MixingSpec(81, 36, 36, 96),
    "sparseformer_btsp_base": MixingSpec(48, 16, 32, 64, ("none", "gelu")),
    "stmixer_spatial": MixingSpec(400, 32, 128, 64, ("relu", "relu"), norm_epsilon=1e-5),
    "stmixer_temporal": MixingSpec(400, 8, 32, 64, ("relu", "relu"), norm_epsilon=1e-5),
}
