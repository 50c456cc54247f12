"""The networks of VideoMAE V2 (2303.16727): a plain ViT over video cubes, a masked decoder."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.nn.initializers import KERNEL_INITIALIZERS, torch_default_kernel
from jaxvision.nn.patches import CubeEmbedding, patchify
from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import BlockConfig, TransformerStack, layer_norm


@dataclasses.dataclass(frozen=True)
class CubeGrid:
    """How a video is cut: frames and (height, width) in pixels, cube sides in frames and pixels."""

    frames: int = 16
    image_size: tuple[int, int] = (224, 224)
    tubelet: int = 2
    patch: int = 16

    @property
    def window(self) -> tuple[int, int, int]:
        """Tokens along (t, h, w)."""
        height, width = self.image_size
        return self.frames // self.tubelet, height // self.patch, width // self.patch

    @property
    def tokens(self) -> int:
        return int(np.prod(self.window))

    @property
    def cube_values(self) -> int:
        return self.tubelet * self.patch**2 * 3


def take_tokens(x: Float[Array, "b n d"], indices: Int[Array, "b m"]) -> Float[Array, "b m d"]:
    """Rows `indices` of each sample's tokens."""
    return jnp.take_along_axis(x, indices[:, :, None], axis=1)


class VideoEncoder(nn.Module):
    """Cube embedding, flat sine-cosine positions, blocks; all tokens or only the visible ones.

    token_dropout: rate on the tokens before the first block.
    position_table: a table among the parameters instead of sine-cosine positions. The reference's
        forward pass detaches it, so it never trains.
    """

    grid: CubeGrid
    block: BlockConfig
    depth: int
    token_dropout: float = 0.0
    position_table: bool = False

    @nn.compact
    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        visible: Int[Array, "b m"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "b m d"]:
        """Tokens after the last block (before any norm).

        video: normalised pixels.  visible: ascending token indices, or None for all tokens.
        """
        grid, width = self.grid, self.block.width
        cubes = patchify(video.astype(self.block.dtype), grid.tubelet, grid.patch)
        positions = jnp.asarray(sincos_1d(grid.tokens, width))[None]
        if self.position_table:
            positions = jax.lax.stop_gradient(self._position_table()[None])
        if visible is not None:
            cubes = take_tokens(cubes, visible)
            positions = positions[0][visible]
        x = CubeEmbedding(width, dtype=self.block.dtype, name="patch_embedding")(cubes)
        x = constrain(x + positions.astype(x.dtype), "batch", None, "embed")
        x = nn.Dropout(self.token_dropout)(x, deterministic=deterministic)
        return TransformerStack(self.block, self.depth, name="stack")(x, deterministic)

    def _position_table(self) -> Float[Array, "n d"]:
        init = nn.with_logical_partitioning(nn.initializers.normal(0.02), (None, "embed"))
        return self.param("positions", init, (self.grid.tokens, self.block.width))


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
        return nn.Dense(
            self.grid.cube_values,
            dtype=dtype,
            kernel_init=nn.with_logical_partitioning(
                KERNEL_INITIALIZERS[self.block.kernel_init], ("embed", "vocab")
            ),
            bias_init=nn.with_logical_partitioning(nn.initializers.zeros, ("vocab",)),
            name="head",
        )(x)

    def _masked(self, positions: Float[Array, "b k d"]) -> Float[Array, "b k d"]:
        def one_sigma(key, shape, dtype=jnp.float32):
            return 0.02 * jax.random.truncated_normal(key, -1, 1, shape, dtype)

        token = self.param(
            "mask_token", nn.with_logical_partitioning(one_sigma, ("embed",)), (self.block.width,)
        )
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
        self.encoder_to_decoder = nn.Dense(
            self.decoder_block.width,
            use_bias=False,
            dtype=self.decoder_block.dtype,
            kernel_init=nn.with_logical_partitioning(torch_default_kernel(), ("embed", None)),
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
