"""How one official tensor is laid out in our parameter tree: a pair of exact inverses.

Every layout is a permutation of elements, so it maps gradients and moments as well as weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Move = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Layout:
    """`ours(official_array)` and its inverse `official(our_array)`."""

    ours: Move
    official: Move


def _identity(x: np.ndarray) -> np.ndarray:
    return x


SAME = Layout(_identity, _identity)


def reshape(official: Sequence[int], ours: Sequence[int]) -> Layout:
    """The same elements in the same order under another shape."""
    return Layout(lambda x: x.reshape(tuple(ours)), lambda x: x.reshape(tuple(official)))


def transpose(*axes: int) -> Layout:
    """Our axis i is the official axis `axes[i]`."""
    inverse = np.argsort(axes)
    return Layout(lambda x: x.transpose(axes), lambda x: x.transpose(inverse))


def chain(*layouts: Layout) -> Layout:
    """`layouts` one after the other, read from official to ours."""

    def ours(x: np.ndarray) -> np.ndarray:
        for layout in layouts:
            x = layout.ours(x)
        return x

    def official(x: np.ndarray) -> np.ndarray:
        for layout in reversed(layouts):
            x = layout.official(x)
        return x

    return Layout(ours, official)


# PyTorch keeps a linear map as (out, in) and a convolution as (out, in, *window);
# Flax keeps (in, out) and (*window, in, out).
LINEAR = transpose(1, 0)
CONV1D = transpose(2, 1, 0)
CONV2D = transpose(2, 3, 1, 0)
CONV3D = transpose(2, 3, 4, 1, 0)


def heads_out(embed: int, heads: int, *, fused: int = 1) -> Layout:
    """A projection to heads: (fused*heads*dim, embed) -> (embed, [fused,] heads, dim)."""

    def ours(x: np.ndarray) -> np.ndarray:
        head_dim = x.shape[0] // (fused * heads)
        split = (fused, heads, head_dim) if fused > 1 else (heads, head_dim)
        return np.moveaxis(x.reshape(*split, embed), -1, 0)

    def official(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, 0, -1).reshape(-1, embed)

    return Layout(ours, official)


def heads_in(embed: int, heads: int) -> Layout:
    """A projection from heads: (embed, heads*dim) -> (heads, dim, embed)."""
    return Layout(
        lambda x: x.T.reshape(heads, -1, embed),
        lambda x: x.reshape(-1, embed).T,
    )


def heads_bias(heads: int, *, fused: int = 1) -> Layout:
    """A bias over heads: (fused*heads*dim,) -> ([fused,] heads, dim)."""
    split = (fused, heads, -1) if fused > 1 else (heads, -1)
    return Layout(lambda x: x.reshape(split), lambda x: x.reshape(-1))
