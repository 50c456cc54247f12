"""The interpolation network: features, motion in two levels, warping and refinement (section 3)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.emavfi.extractor import Features, MotionExtractor
from jaxvision.methods.emavfi.heads import FlowHead, Motion
from jaxvision.methods.emavfi.refinement import (
    RefinementUNet,
    blend,
    warp_features,
    warp_pair,
)
from jaxvision.methods.emavfi.variants import NetworkConfig

Time = Float[Array, " b"] | Float[Array, ""] | float
# What sides must be multiples of.
DIVISOR = 16


class Interpolation(NamedTuple):
    """frame: the answer, in [0, 1].  merged: the blend of each level, before refinement.
    motion: of each level, at full size."""

    frame: Float[Array, "b h w 3"]
    merged: tuple[Float[Array, "b h w 3"], ...]
    motion: tuple[Motion, ...]


class InterpolationNetwork(nn.Module):
    """The frame at time t between two frames.

    Frames come as a pair [b, 2, h, w, 3], BGR in [0, 1]. t in (0, 1) is one number or one per
    sample; weights trained for t = 0.5 alone do not heed it sensibly.
    """

    config: NetworkConfig

    def setup(self):
        c = self.config
        self.extractor = MotionExtractor(c)
        self.head_16 = FlowHead(16, c.head_hidden, c.dtype)
        self.head_8 = FlowHead(8, c.head_hidden, c.dtype)
        self.unet = RefinementUNet(c.unet_width, c.dtype)

    def features(self, pair: Float[Array, "b 2 h w 3"]) -> Features:
        """What does not depend on t, at any size."""
        return self.extractor(pair)

    def motion(
        self, pair: Float[Array, "b 2 h w 3"], features: Features, t: Time
    ) -> tuple[Motion, ...]:
        """Flow and mask of both levels, coarse first; sides are multiples of 16."""
        t = jnp.broadcast_to(jnp.asarray(t, jnp.float32), pair.shape[:1])[:, None, None, None]
        frames = jnp.concatenate([pair[:, 0], pair[:, 1]], axis=-1)
        coarse = self.head_16(_at_time(features, 1, t), frames)
        warped = warp_pair(pair, coarse.flow)
        known = jnp.concatenate([frames, warped[:, 0], warped[:, 1], coarse.mask], axis=-1)
        change = self.head_8(_at_time(features, 0, t), known, coarse.flow)
        return coarse, Motion(coarse.flow + change.flow, coarse.mask + change.mask)

    def refine(
        self,
        pair: Float[Array, "b 2 h w 3"],
        appearance: tuple[Float[Array, "b 2 h w c"], ...],
        motion: Motion,
        top: Int[Array, ""] | int = 0,
        left: Int[Array, ""] | int = 0,
    ) -> tuple[Float[Array, "b h2 w2 3"], Float[Array, "b h2 w2 3"]]:
        """(frame, blend) from motion in full-size pixels and full-size appearance features.

        Motion of a part alone, whose corner (top, left) and sides are multiples of 16, gives that
        part; within 80 pixels of an edge inside the frame it differs from the whole.
        """
        warped = warp_pair(pair, motion.flow, top, left)
        merged = blend(warped, motion.mask)
        context = warp_features(appearance, motion.flow, top, left)
        part = (*pair.shape[:2], *motion.flow.shape[1:3], 3)
        given = jax.lax.dynamic_slice(pair, (0, 0, top, left, 0), part)
        frame = merged + self.unet(given, warped, motion, context)
        return jnp.clip(frame, 0, 1), merged

    def __call__(self, pair: Float[Array, "b 2 h w 3"], t: Time) -> Interpolation:
        """Everything; what training needs."""
        features = self.features(pair)
        coarse, fine = self.motion(pair, features, t)
        frame, merged = self.refine(pair, features.appearance, fine)
        first = blend(warp_pair(pair, coarse.flow), coarse.mask)
        return Interpolation(frame, (first, merged), (coarse, fine))


def _at_time(features: Features, stage: int, t: Array) -> Float[Array, "b h w c"]:
    """Motion towards time t (each frame's scaled by its distance) beside both appearances."""
    motion, appearance = features.motion[stage], features.appearance[3 + stage]
    dtype = motion.dtype
    return jnp.concatenate(
        [
            motion[:, 0] * t.astype(dtype),
            motion[:, 1] * (1 - t).astype(dtype),
            appearance[:, 0],
            appearance[:, 1],
        ],
        axis=-1,
    )
