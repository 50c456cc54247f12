"""Making sides divide, and cutting the result back."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Shaped


class Padder(NamedTuple):
    """Edge pixels repeated on all four sides, centred, up to multiples of a divisor."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def for_size(cls, height: int, width: int, divisor: int) -> "Padder":
        down, across = -height % divisor, -width % divisor
        return cls(across // 2, across - across // 2, down // 2, down - down // 2)

    def pad(self, x: Shaped[Array, "*n h w c"]) -> Shaped[Array, "*n h2 w2 c"]:
        pads = [(0, 0)] * (x.ndim - 3) + [(self.top, self.bottom), (self.left, self.right), (0, 0)]
        return jnp.pad(x, pads, mode="edge")

    def unpad(self, x: Shaped[Array, "*n h2 w2 c"]) -> Shaped[Array, "*n h w c"]:
        height, width = x.shape[-3:-1]
        return x[..., self.top : height - self.bottom, self.left : width - self.right, :]
