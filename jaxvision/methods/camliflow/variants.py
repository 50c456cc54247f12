"""The six published networks and what they differ in."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice

PYRAMID = (4096, 2048, 1024, 512, 256)  # points of each level below the whole cloud


@dataclass(frozen=True, kw_only=True)
class RaftConfig:
    """CamLiRAFT and its siblings.

    iterations: when not told otherwise.  images, points: the branches.  fuse_*: what they exchange.
    inverse_depth: whether points are scaled by inverse depth.  pyramid: points of the levels.
    norm_groups: of batch norms.  dtype: of features.
    """

    iterations: int = 20
    images: bool = True
    points: bool = True
    fuse_features: bool = True
    fuse_context: bool = True
    fuse_correlation: bool = True
    fuse_motion: bool = True
    fuse_hidden: bool = False
    inverse_depth: bool = True
    pyramid: tuple[int, ...] = PYRAMID
    norm_groups: int = 1
    dtype: str = "float32"

    @property
    def fused(self) -> bool:
        return (
            self.fuse_features
            or self.fuse_context
            or self.fuse_correlation
            or self.fuse_motion
            or self.fuse_hidden
        )


@dataclass(frozen=True, kw_only=True)
class PwcConfig:
    """CamLiPWC and its siblings.

    fuse_pyramid, fuse_correlation, fuse_estimator: what the branches exchange.  lite: the smaller
    2D estimator.  max_displacement: of the 2D cost volume, pixels.  The rest as for CamLiRAFT.
    """

    images: bool = True
    points: bool = True
    fuse_pyramid: bool = True
    fuse_correlation: bool = True
    fuse_estimator: bool = True
    lite: bool = False
    max_displacement: int = 4
    inverse_depth: bool = True
    pyramid: tuple[int, ...] = PYRAMID
    norm_groups: int = 1
    dtype: str = "float32"

    @property
    def fused(self) -> bool:
        return self.fuse_pyramid or self.fuse_correlation or self.fuse_estimator


NO_RAFT_FUSION: Any = {
    "fuse_features": False,
    "fuse_context": False,
    "fuse_correlation": False,
    "fuse_motion": False,
}
NO_PWC_FUSION: Any = {"fuse_pyramid": False, "fuse_correlation": False, "fuse_estimator": False}

VARIANTS: dict[str, RaftConfig | PwcConfig] = {
    "camliraft": RaftConfig(),
    "camliraft_l": RaftConfig(images=False, **NO_RAFT_FUSION),
    "raft": RaftConfig(iterations=24, points=False, **NO_RAFT_FUSION),
    "camlipwc": PwcConfig(),
    "camlipwc_l": PwcConfig(images=False, **NO_PWC_FUSION),
    "pwc": PwcConfig(points=False, **NO_PWC_FUSION),
}
PARAMETERS = {
    "camliraft": 8_378_929,
    "camliraft_l": 1_206_509,
    "raft": 6_208_192,
    "camlipwc": 8_469_386,
    "camlipwc_l": 2_036_099,
    "pwc": 3_594_026,
}


# Points of the coarsest level that a network still asks 16 neighbours of, and of the level whose
# motion CamLiRAFT estimates, which has 32.
LEAST_COARSE, LEAST_MOVED = 16, 32


def build(
    model: ConfigDict, norm_groups: int = 1, dtype: str = "float32"
) -> RaftConfig | PwcConfig:
    """The network that a recipe's `model` table describes, with features of `dtype`. InputError
    for a name that is unknown, or a pyramid whose levels do not fall or hold fewer points than have
    neighbours."""
    check_choice("unknown model.network", model.network, VARIANTS)
    chosen, pyramid = VARIANTS[model.network], tuple(model.pyramid)
    falling = all(n > m for n, m in pairwise(pyramid))
    if len(pyramid) != len(PYRAMID) or not falling:
        raise InputError(f"model.pyramid={pyramid}: expected {len(PYRAMID)} falling numbers")
    least = LEAST_MOVED if isinstance(chosen, RaftConfig) else LEAST_COARSE
    coarsest = pyramid[1] if isinstance(chosen, RaftConfig) else pyramid[-1]
    if coarsest < least or pyramid[-1] < LEAST_COARSE:
        raise InputError(f"model.pyramid={pyramid}: fewer points than the {least} neighbours asked")
    if isinstance(chosen, RaftConfig):
        chosen = replace(chosen, iterations=model.iterations)
    else:
        chosen = replace(chosen, lite=model.lite)
    return replace(chosen, pyramid=pyramid, norm_groups=norm_groups, dtype=dtype)
