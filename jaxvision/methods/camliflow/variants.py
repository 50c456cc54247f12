"""The six published networks and what they differ in."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice
from jaxvision.ops.correlation_lookup import FORMS, Form

PYRAMID = (4096, 2048, 1024, 512, 256)  # points of each level below the whole cloud
WIDTH = 128  # of RAFT's features
BLOCKS = (3, 4)  # of ResNet-50's first two stages
LEVELS, RADIUS = 4, 4  # of RAFT's correlations
RAFT_FUSIONS = ("features", "context", "correlation", "motion", "hidden")
PUBLISHED_FUSIONS = RAFT_FUSIONS[:-1]


@dataclass(frozen=True, kw_only=True)
class RaftConfig:
    """CamLiRAFT and its siblings.

    iterations: when not told otherwise.  images, points: the branches.  fuse_*: what they exchange.
    inverse_depth: whether points are scaled by inverse depth.  pyramid: points of the levels.
    width: of features, to which all other widths are in proportion.  blocks: of the image encoders'
    two stages.  levels, radius: of correlations: averaged maps or clouds, and pixels of the window
    to each side.  lookup: whether all pairs of pixels are correlated beforehand.  encoder_norms:
    whether the image encoders' have statistics of batches.  centred: whether what is correlated is
    centred and of one length.  norm_groups: of batch norms.
    dtype: of features.
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
    width: int = WIDTH
    blocks: tuple[int, int] = BLOCKS
    levels: int = LEVELS
    radius: int = RADIUS
    lookup: Form = "on_demand"
    encoder_norms: bool = False
    centred: bool = False
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

    @property
    def correlations(self) -> int:
        """Channels of pixels' correlations."""
        return self.levels * (2 * self.radius + 1) ** 2

    @property
    def point_widths(self) -> tuple[int, int, int]:
        """Of the clouds whose features are made, the whole one first."""
        return self.width // 2, 3 * self.width // 4, self.width

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Of the image encoders: blocks and inner width of each."""
        return (self.blocks[0], self.width // 2), (self.blocks[1], self.width)


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
    for a name that is unknown, a pyramid whose levels do not fall or hold fewer points than have
    neighbours, or a width or levels that cannot be."""
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
        check_choice("unknown model.lookup", model.lookup, FORMS)
        if model.width % 8:
            raise InputError(f"model.width={model.width}: expected a multiple of 8")
        for part in model.fusions:
            check_choice("unknown part of model.fusions", part, RAFT_FUSIONS)
        if not 1 <= model.levels <= LEVELS:
            raise InputError(f"model.levels={model.levels}: expected 1 to {LEVELS}")
        fusions: dict[str, Any] = {
            f"fuse_{part}": chosen.fused and part in model.fusions for part in RAFT_FUSIONS
        }
        chosen = replace(
            chosen,
            iterations=model.iterations,
            width=model.width,
            blocks=tuple(model.blocks),
            levels=model.levels,
            radius=model.radius,
            lookup=model.lookup,
            encoder_norms=model.encoder_norms,
            centred=model.centred,
            **fusions,
        )
    else:
        chosen = replace(chosen, lite=model.lite)
    return replace(chosen, pyramid=pyramid, norm_groups=norm_groups, dtype=dtype)
