"""The published models, and the sizes that follow from a model's three numbers."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from jaxvision.methods.emavfi.attention import BlockConfig

HEAD_DIM = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """width: channels at full size; every stage doubles them.  window: side of an attention window.
    depths: convolutions of stages 1 to 3, attention blocks of stages 4 and 5.
    unet_ratio: channels of the refinement at full size, as a multiple of `width`.
    remat: recompute attention blocks in the backward pass.
    """

    width: int = 32
    window: int = 7
    depths: tuple[int, int, int, int, int] = (2, 2, 2, 4, 4)
    mlp_ratio: float = 4.0
    unet_ratio: int = 2
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.width * 2**stage for stage in range(5))

    @property
    def head_hidden(self) -> int:
        return 4 * self.width

    @property
    def unet_width(self) -> int:
        return self.unet_ratio * self.width

    def block(self, stage: int) -> BlockConfig:
        """The attention blocks of stage index 3 or 4."""
        width = self.widths[stage]
        return BlockConfig(
            width=width,
            motion_width=width // self.depths[stage],
            heads=width // HEAD_DIM,
            window=self.window,
            mlp_ratio=self.mlp_ratio,
            dtype=self.dtype,
        )


class Variant(NamedTuple):
    """A published checkpoint.

    any_time: trained for every t in (0, 1); otherwise only for 0.5.
    test_time_augmentation: as its authors evaluate it.  parameters: how many numbers it holds.
    """

    file: str
    network: NetworkConfig
    any_time: bool
    test_time_augmentation: bool
    parameters: int


SMALL = NetworkConfig(width=16, depths=(2, 2, 2, 2, 2))
BASE = NetworkConfig(width=32, depths=(2, 2, 2, 4, 4))

VARIANTS = {
    "small": Variant("ours_small.pkl", SMALL, False, False, 14_489_815),
    "base": Variant("ours.pkl", BASE, False, True, 65_662_359),
    "small_t": Variant("ours_small_t.pkl", SMALL, True, False, 14_489_815),
    "base_t": Variant("ours_t.pkl", BASE, True, True, 65_662_359),
}
