"""Shapes that published configurations attend with, shared by tests and benchmarks."""

from typing import NamedTuple


class AttentionSpec(NamedTuple):
    """Of one sample."""

    tokens: int
    heads: int
    width: int


# Few tokens, narrow heads: ours.
NARROW = {
    "sparseformer_t": AttentionSpec(49, 64, 8),
    "sparseformer_t_focus": AttentionSpec(49, 64, 4),
    "sparseformer_b": AttentionSpec(81, 64, 12),
}
# Whole clips and wide heads: the libraries'.
LONG = {
    "vit_b": AttentionSpec(1568, 12, 64),
    "vit_g": AttentionSpec(1568, 16, 88),
}
