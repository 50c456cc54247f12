"""The pretraining network of VideoMAE V2 (2303.16727): a video transformer and a masked decoder.

The encoder, and the classifier that it becomes, are `jaxvision.nn.video_transformer`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.nn.initializers import KERNEL_INITIALIZERS, torch_default_kernel
from jaxvision.nn.linear import linear, logical
from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import BlockConfig, TransformerStack, layer_norm
from jaxvision.nn.video_transformer import CubeGrid, VideoEncoder, block_of, grid_of


class MaskedDecoder(nn.Module):
    """Blocks over visible tokens and mask tokens; pixels of the decoded tokens (section 3.2)."""

    grid: CubeGrid
    block: BlockConfig
    depth: int

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "b m d"],
        visible: Int[Array, "b m"],
        decoded: Int[Array, "b k"],
        deterministic: bool = True,
    ) -> Float[Array, "b k cube"]:
        width, dtype = self.block.width, self.block.dtype
        positions = jnp.asarray(sincos_1d(self.grid.tokens, width)).astype(dtype)
        x = jnp.concatenate([tokens + positions[visible], self._masked(positions[decoded])], axis=1)
        x = constrain(x, "batch", None, "embed")
        x = TransformerStack(self.block, self.depth, name="stack")(x, deterministic)
        x = layer_norm(self.block, "norm")(x[:, tokens.shape[1] :])
        kernel = KERNEL_INITIALIZERS[self.block.kernel_init]
        values, axes = self.grid.cube_values, ("embed", "vocab")
        return linear(values, axes, dtype=dtype, kernel=kernel, name="head")(x)

    def _masked(self, positions: Float[Array, "b k d"]) -> Float[Array, "b k d"]:
        def one_sigma(key, shape, dtype=jnp.float32):
            return 0.02 * jax.random.truncated_normal(key, -1, 1, shape, dtype)

        token = self.param("mask_token", logical(one_sigma, "embed"), (self.block.width,))
        return token.astype(positions.dtype) + positions


class MaskedAutoencoder(nn.Module):
    """VideoMAE pretraining: encode the visible cubes, predict the pixels of the decoded ones."""

    grid: CubeGrid
    encoder_block: BlockConfig
    encoder_depth: int
    decoder_block: BlockConfig
    decoder_depth: int

    def setup(self):
        self.encoder = VideoEncoder(self.grid, self.encoder_block, self.encoder_depth)
        self.encoder_norm = layer_norm(self.encoder_block, "encoder_norm")
        self.encoder_to_decoder = linear(
            self.decoder_block.width,
            ("embed", None),
            dtype=self.decoder_block.dtype,
            kernel=torch_default_kernel(),
            bias=None,
        )
        self.decoder = MaskedDecoder(self.grid, self.decoder_block, self.decoder_depth)

    def encode(
        self,
        video: Float[Array, "b t h w 3"],
        visible: Int[Array, "b m"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "b m d"]:
        """Normed encoder tokens of a normalised video; all of them where `visible` is None."""
        return self.encoder_norm(self.encoder(video, visible, deterministic))

    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        visible: Int[Array, "b m"],
        decoded: Int[Array, "b k"],
        deterministic: bool = True,
    ) -> Float[Array, "b k cube"]:
        """Predicted (normalised) pixel values of the tokens `decoded`.

        visible, decoded: ascending token indices. They may overlap: a decoded token always enters
        the decoder as mask token plus position.
        """
        tokens = self.encode(video, visible, deterministic)
        tokens = self.encoder_to_decoder(tokens)
        return self.decoder(tokens, visible, decoded, deterministic)


def build_autoencoder(model: Mapping[str, Any], dtype: str) -> MaskedAutoencoder:
    """The network that a recipe's `model` table describes."""
    decoder = {"width": model["decoder_width"], "heads": model["decoder_heads"]}
    return MaskedAutoencoder(
        grid_of(model),
        block_of(model, dtype),
        model["depth"],
        block_of(model, dtype, **decoder),
        model["decoder_depth"],
    )
