"""The whole detector: backbone, feature space, decoder."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.data.actions import clip_frames
from jaxvision.errors import InputError
from jaxvision.methods.stmixer.decoder import Answers, Decoder, DecoderConfig, Queries
from jaxvision.methods.stmixer.feature_space import LateralMaps, SimplePyramid
from jaxvision.nn.resnet3d import ResNet3D
from jaxvision.nn.resnet3d_config import ResNet3DConfig

Clip = Float[Array, "b t h w c"]


class Detections(NamedTuple):
    """answers: of every stage.  queries: of the last.  levels: the feature space."""

    answers: Answers
    queries: Queries
    levels: tuple[Clip, ...]


class ConvolutionalMaps(nn.Module):
    """SlowOnly or SlowFast: four maps at strides 4 to 32, of both pathways at the slow one's rate.

    A clip has the fast pathway's frames; the slow one takes some of them, evenly from the first to
    the last, as PySlowFast does: of 32 not every fourth.
    """

    config: ResNet3DConfig

    @nn.compact
    def __call__(self, clip: Float[Array, "b t h w 3"], train: bool = False) -> tuple[Clip, ...]:
        network, fusion = ResNet3D(self.config, name="network"), self.config.fusion
        if fusion is None:
            return network(clip, None, train).slow[1:]
        slow = clip[:, clip_frames.evenly(clip.shape[1], fusion.stride)]
        return tuple(network(slow, clip, train).levels(fusion.stride))


class Detector(nn.Module):
    """Boxes of people on the middle frame of a clip, and the actions of each (STMixer).

    backbone: a module that gives one map at stride 16 (`pyramid`), or four at 4 to 32.
    """

    backbone: nn.Module
    decoder: DecoderConfig
    pyramid: bool

    @nn.compact
    def __call__(
        self,
        clip: Float[Array, "b t h w 3"],
        sizes: Float[Array, "b 4"],
        train: bool = False,
    ) -> Detections:
        """clip: normalised pixels, padded with 0 to a multiple of 32.  sizes: (w, h, w, h) of each
        clip in pixels, without padding."""
        width, dtype = self.decoder.width, self.decoder.dtype
        found = self.backbone(clip, train)
        space = SimplePyramid if self.pyramid else LateralMaps
        levels = space(width, dtype, name="space")(found)
        frames = levels[0].shape[1]
        if frames != self.decoder.frames:
            raise InputError(
                f"model.temporal_points={self.decoder.frames}; the backbone gives {frames} frames"
            )
        answers, queries = Decoder(self.decoder, name="decoder")(levels, jnp.asarray(sizes))
        return Detections(answers, queries, levels)
