"""The feature extractor: convolutions, then inter-frame attention on the 1/8 and 1/16 maps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.emavfi.attention import (
    BlockConfig,
    MotionBlock,
    coordinate_grid,
    layer_norm,
)
from jaxvision.methods.emavfi.variants import NetworkConfig
from jaxvision.nn.convolution import Conv, PReLU

# (stage, stride, dilation) of each branch, in the published order: all land on the 1/8 map.
BRANCHES = ((3, 2, 1), (2, 4, 1), (2, 4, 2), (1, 8, 1), (1, 8, 2), (1, 8, 3), (1, 8, 4))
# The two patch embeddings keep PyTorch's default; the blocks and stage norms have 1e-6.
EMBEDDING_EPSILON = 1e-5


class Features(NamedTuple):
    """Of a pair of frames (axis 1). appearance: five maps from full size to 1/16, each half of the
    last (rounded up).  motion: of stage 4 (1/8) and stage 5 (1/16)."""

    appearance: tuple[Float[Array, "b 2 h w c"], ...]
    motion: tuple[Float[Array, "b 2 h w m"], ...]


class ConvPReLU(nn.Module):
    """A 3 x 3 convolution and its PReLU."""

    features: int
    stride: int = 1
    torch_default: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        conv = Conv(
            self.features,
            stride=self.stride,
            torch_default=self.torch_default,
            dtype=self.dtype,
            name="conv",
        )
        return PReLU(name="prelu")(conv(x))


class ConvStack(nn.Module):
    """`depth` times ConvPReLU; the first one has the stride."""

    features: int
    depth: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        for number in range(self.depth):
            stride = self.stride if number == 0 else 1
            x = ConvPReLU(self.features, stride, dtype=self.dtype, name=f"layer_{number}")(x)
        return x


class CrossScaleEmbedding(nn.Module):
    """Tokens on the 1/8 map from all three convolution stages, seen at several dilations."""

    width: int
    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, stages: tuple[Float[Array, "b h w c"], ...]) -> Float[Array, "b h w d"]:
        """stages: the maps at full, half and quarter size.  width: channels of each branch."""
        branches = [
            Conv(
                self.width, stride=stride, dilation=dilation, dtype=self.dtype, name=f"branch_{i}"
            )(stages[stage - 1])
            for i, (stage, stride, dilation) in enumerate(BRANCHES)
        ]
        x = jnp.concatenate(branches, axis=-1)
        x = Conv(self.features, window=1, dtype=self.dtype, name="projection")(x)
        return layer_norm("norm", self.dtype, EMBEDDING_EPSILON)(x)


class OverlapEmbedding(nn.Module):
    """Tokens on a map of half the size: a 3 x 3 convolution of stride 2, and a norm."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = Conv(self.features, stride=2, dtype=self.dtype, name="projection")(x)
        return layer_norm("norm", self.dtype, EMBEDDING_EPSILON)(x)


class AttentionStage(nn.Module):
    """Blocks whose windows alternate between unshifted and shifted by half a window."""

    config: BlockConfig
    depth: int
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "b 2 h w d"]
    ) -> tuple[Float[Array, "b 2 h w d"], Float[Array, "b 2 h w m"]]:
        """(normed stream, motion of every block along channels)."""
        coordinates = jnp.asarray(coordinate_grid(x.shape[2], x.shape[3]))
        block = nn.remat(MotionBlock) if self.remat else MotionBlock
        motions = []
        for number in range(self.depth):
            shift = self.config.window // 2 if number % 2 else 0
            x, motion = block(self.config, shift, name=f"block_{number}")(x, coordinates)
            motions.append(motion)
        x = layer_norm("norm", self.config.dtype, self.config.norm_epsilon)(x)
        return x, jnp.concatenate(motions, axis=-1)


class MotionExtractor(nn.Module):
    """Appearance and motion features of a pair of frames of any size (section 3.3)."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, pair: Float[Array, "b 2 h w 3"]) -> Features:
        """pair: BGR in [0, 1]."""
        c = self.config
        pairs = pair.shape[0]
        x = pair.reshape(-1, *pair.shape[2:]).astype(c.dtype)
        stages = []
        for number in range(3):
            width, depth = c.widths[number], c.depths[number]
            if number:
                x = ConvPReLU(width, 2, dtype=c.dtype, name=f"reduce_{number + 1}")(x)
            x = ConvStack(width, depth, dtype=c.dtype, name=f"stage_{number + 1}")(x)
            stages.append(x)
        x = CrossScaleEmbedding(c.width, c.widths[3], c.dtype, name="embedding_4")(tuple(stages))
        appearance, motion = [_paired(stage, pairs) for stage in stages], []
        for number in (3, 4):
            if number == 4:
                x = OverlapEmbedding(c.widths[4], c.dtype, name="embedding_5")(x)
            stage = AttentionStage(
                c.block(number), c.depths[number], c.remat, name=f"stage_{number + 1}"
            )
            paired, moved = stage(_paired(x, pairs))
            appearance.append(paired)
            motion.append(moved)
            x = paired.reshape(-1, *paired.shape[2:])
        return Features(tuple(appearance), tuple(motion))


def _paired(x: jax.Array, pairs: int) -> Float[Array, "b 2 h w c"]:
    return x.reshape(pairs, 2, *x.shape[1:])
