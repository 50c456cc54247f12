"""CoMAE's networks: one plain ViT for RGB and depth (HHA), with a patch embedding for each.

Three networks share the encoder's blocks: `PatchContrast` (section 3.2), `MultiModalAutoencoder`
(section 3.3) and `SceneClassifier` (fine-tuning). Depth enters as a picture of three channels.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxvision.nn.initializers import KERNEL_INITIALIZERS
from jaxvision.nn.linear import linear, logical
from jaxvision.nn.patches import CubeEmbedding, patchify, unpatchify
from jaxvision.nn.positions import sincos_2d
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import BlockConfig, TransformerStack, layer_norm

MODALITIES = ("rgb", "depth")
FIRST_TEMPERATURE = 0.07
POOLINGS = ("mean", "class_token")


@dataclasses.dataclass(frozen=True)
class PatchGrid:
    """A square picture of `side` pixels cut into patches of `patch` pixels."""

    side: int = 224
    patch: int = 16

    @property
    def window(self) -> int:
        return self.side // self.patch

    @property
    def patches(self) -> int:
        return self.window**2

    @property
    def patch_values(self) -> int:
        return self.patch**2 * 3

    def cut(self, picture: Float[Array, "b h w 3"]) -> Float[Array, "b n patch"]:
        """Patches in row-major order; inside a patch (row, column, channel)."""
        return patchify(picture[:, None], 1, self.patch)

    def join(self, patches: Float[Array, "b n patch"]) -> Float[Array, "b h w 3"]:
        """Inverse of `cut`."""
        return unpatchify(patches, (1, self.side, self.side), 1, self.patch)[:, 0]


def fixed_positions(grid: PatchGrid, width: int) -> Float[np.ndarray, "n+1 d"]:
    """The sine-cosine table, the class token's row (zeros) first."""
    return np.concatenate([np.zeros((1, width), np.float32), sincos_2d(grid.window, width)])


def _token(module: nn.Module, name: str, width: int) -> Float[Array, " d"]:
    return module.param(name, logical(nn.initializers.normal(0.02), "embed"), (width,))


def _embeddings(block: BlockConfig) -> tuple[CubeEmbedding, CubeEmbedding]:
    rgb, depth = (
        CubeEmbedding(block.width, dtype=block.dtype, kernel_init=block.kernel_init)
        for _ in MODALITIES
    )
    return rgb, depth


class PatchContrast(nn.Module):
    """Stage 1: a patch of one modality is to find its place's patch of the other.

    No positions, no class token, no masks: patch embeddings and blocks alone, both modalities in
    one pass on the batch axis, without attention between them.
    """

    grid: PatchGrid
    block: BlockConfig
    depth: int

    def setup(self):
        self.rgb_embedding, self.depth_embedding = _embeddings(self.block)
        self.stack = TransformerStack(self.block, self.depth)
        self.logit_scale = self.param(
            "logit_scale", nn.initializers.constant(math.log(1 / FIRST_TEMPERATURE)), ()
        )

    def features(
        self,
        rgb: Float[Array, "b h w 3"],
        depth: Float[Array, "b h w 3"],
        deterministic: bool = True,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b n d"]]:
        """Tokens of both modalities after the last block, not normalised."""
        dtype = self.block.dtype
        tokens = jnp.concatenate(
            [
                self.rgb_embedding(self.grid.cut(rgb.astype(dtype))),
                self.depth_embedding(self.grid.cut(depth.astype(dtype))),
            ]
        )
        tokens = self.stack(constrain(tokens, "batch", None, "embed"), deterministic)
        seen_rgb, seen_depth = jnp.split(tokens, 2)
        return seen_rgb, seen_depth

    def __call__(
        self,
        rgb: Float[Array, "b h w 3"],
        depth: Float[Array, "b h w 3"],
        deterministic: bool = True,
    ) -> Float[Array, "b n n"]:
        """exp(logit_scale) * cosine of every RGB patch (rows) and depth patch of the same pair, in
        float32. The scale is learned and never bounded."""
        rgb_unit, depth_unit = (
            _unit(tokens) for tokens in self.features(rgb, depth, deterministic)
        )
        cosines = jnp.einsum("bnd,bmd->bnm", rgb_unit, depth_unit, precision="highest")
        return jnp.exp(self.logit_scale.astype(jnp.float32)) * cosines


def _unit(tokens: Float[Array, "... d"]) -> Float[Array, "... d"]:
    tokens = tokens.astype(jnp.float32)
    return tokens / jnp.linalg.norm(tokens, axis=-1, keepdims=True)


class MultiModalAutoencoder(nn.Module):
    """Stage 2: both modalities masked apart, encoded and decoded jointly.

    Encoder and decoder see [class, RGB patches, class, depth patches] as one sequence. Positions
    are fixed tables, kept as constants: published files hold them, and fine-tuning starts from one.
    """

    grid: PatchGrid
    block: BlockConfig
    depth: int
    decoder_block: BlockConfig
    decoder_depth: int

    def setup(self):
        block, decoder = self.block, self.decoder_block
        self.rgb_embedding, self.depth_embedding = _embeddings(block)
        self.class_token = _token(self, "class_token", block.width)
        self.positions = self._table("positions", block.width)
        self.stack = TransformerStack(block, self.depth)
        self.norm = layer_norm(block, "norm")
        self.decoder_rgb_embedding = _dense(decoder, decoder.width, ("embed", None))
        self.decoder_depth_embedding = _dense(decoder, decoder.width, ("embed", None))
        self.mask_token = _token(self, "mask_token", decoder.width)
        self.decoder_positions = self._table("decoder_positions", decoder.width)
        self.decoder_stack = TransformerStack(decoder, self.decoder_depth)
        self.decoder_norm = layer_norm(decoder, "decoder_norm")
        self.rgb_head = _dense(decoder, self.grid.patch_values, ("embed", "vocab"))
        self.depth_head = _dense(decoder, self.grid.patch_values, ("embed", "vocab"))

    def _table(self, name: str, width: int) -> Float[Array, "n+1 d"]:
        return self.variable(
            "constants", name, lambda: jnp.asarray(fixed_positions(self.grid, width))
        ).value

    def encode(
        self,
        pictures: tuple[Float[Array, "b h w 3"], Float[Array, "b h w 3"]],
        kept: tuple[Int[Array, "b k"], Int[Array, "b k"]],
        deterministic: bool = True,
    ) -> Float[Array, "b 2*(k+1) d"]:
        """Normed tokens [class, RGB, class, depth] of the patches `kept` of (RGB, depth)."""
        dtype, width = self.block.dtype, self.block.width
        positions = self.positions.astype(dtype)
        parts = []
        for embed, picture, indices in zip(
            (self.rgb_embedding, self.depth_embedding), pictures, kept, strict=True
        ):
            patches = self.grid.cut(picture.astype(dtype))
            patches = jnp.take_along_axis(patches, indices[..., None], axis=1)
            tokens = embed(patches) + positions[1:][indices]
            first = jnp.broadcast_to(
                self.class_token.astype(dtype) + positions[0], (tokens.shape[0], 1, width)
            )
            parts += [first, tokens]
        x = constrain(jnp.concatenate(parts, axis=1), "batch", None, "embed")
        return self.norm(self.stack(x, deterministic))

    def decode(
        self,
        latent: Float[Array, "b 2*(k+1) d"],
        kept: tuple[Int[Array, "b k"], Int[Array, "b k"]],
        deterministic: bool = True,
    ) -> tuple[Float[Array, "b n patch"], Float[Array, "b n patch"]]:
        """Predicted values of every patch of (RGB, depth)."""
        dtype, width = self.decoder_block.dtype, self.decoder_block.width
        positions = self.decoder_positions.astype(dtype)
        rows = jnp.arange(latent.shape[0])[:, None]
        parts = []
        for embed, part, indices in zip(
            (self.decoder_rgb_embedding, self.decoder_depth_embedding),
            jnp.split(latent, 2, axis=1),
            kept,
            strict=True,
        ):
            tokens = embed(part)
            places = jnp.broadcast_to(
                self.mask_token.astype(dtype), (tokens.shape[0], self.grid.patches, width)
            )
            places = places.at[rows, indices].set(tokens[:, 1:])
            parts.append(jnp.concatenate([tokens[:, :1], places], axis=1) + positions)
        x = constrain(jnp.concatenate(parts, axis=1), "batch", None, "embed")
        x = self.decoder_norm(self.decoder_stack(x, deterministic))
        of_rgb, of_depth = jnp.split(x, 2, axis=1)
        return self.rgb_head(of_rgb[:, 1:]), self.depth_head(of_depth[:, 1:])

    def __call__(
        self,
        rgb: Float[Array, "b h w 3"],
        depth: Float[Array, "b h w 3"],
        kept_rgb: Int[Array, "b k"],
        kept_depth: Int[Array, "b k"],
        deterministic: bool = True,
    ) -> tuple[Float[Array, "b n patch"], Float[Array, "b n patch"]]:
        """Predicted (normalised) values of every patch; `kept_*`: patches that the encoder sees, in
        any order."""
        kept = (kept_rgb, kept_depth)
        latent = self.encode((rgb, depth), kept, deterministic)
        return self.decode(latent, kept, deterministic)


class SceneClassifier(nn.Module):
    """Fine-tuning: [class, RGB patches, class, depth patches] as one sequence, pooled, classified.

    One class token and one learned position table serve both modalities. A modality that is left
    out keeps its class token; its patches are hidden from attention and from the mean, which equals
    leaving them out of the sequence.

    pooling: "mean" of the patches, then a norm; or the mean of both class tokens after a norm of
        all tokens.
    """

    grid: PatchGrid
    block: BlockConfig
    depth: int
    classes: int
    pooling: str = "mean"

    @nn.compact
    def __call__(
        self,
        rgb: Float[Array, "b h w 3"],
        depth: Float[Array, "b h w 3"],
        seen: Bool[Array, "b 2"] | None = None,
        deterministic: bool = True,
        features: bool = False,
    ) -> Float[Array, "b classes"]:
        """Logits, or what enters the head where `features` is asked.

        seen: whether each sample's (RGB, depth) is used; None: both.
        """
        dtype, width, patches = self.block.dtype, self.block.width, self.grid.patches
        class_token = _token(self, "class_token", width)
        init = logical(nn.initializers.normal(0.02), None, "embed")
        positions = self.param("positions", init, (patches + 1, width)).astype(dtype)
        parts = []
        for name, picture in zip(MODALITIES, (rgb, depth), strict=True):
            embed = CubeEmbedding(width, dtype=dtype, name=f"{name}_embedding")
            tokens = embed(self.grid.cut(picture.astype(dtype))) + positions[1:]
            first = jnp.broadcast_to(
                class_token.astype(dtype) + positions[0], (tokens.shape[0], 1, width)
            )
            parts += [first, tokens]
        x = constrain(jnp.concatenate(parts, axis=1), "batch", None, "embed")
        is_patch = np.tile(np.arange(patches + 1) > 0, 2)
        key_mask = None
        if seen is not None:
            key_mask = jnp.repeat(seen, patches + 1, axis=1) | ~is_patch
        x = TransformerStack(self.block, self.depth, name="stack")(
            x, deterministic, key_mask=key_mask
        )
        if self.pooling == "mean":
            counted = jnp.broadcast_to(is_patch, x.shape[:2])
            if key_mask is not None:
                counted = counted & key_mask
            weights = counted[..., None].astype(jnp.float32)
            pooled = jnp.sum(x * weights, axis=1) / jnp.sum(weights, axis=1)
            pooled = layer_norm(self.block, "pooled_norm")(pooled.astype(dtype))
        else:
            tokens = layer_norm(self.block, "norm")(x)
            pooled = (tokens[:, 0] + tokens[:, patches + 1]) / 2
        if features:
            return pooled
        return linear(
            self.classes,
            ("embed", "vocab"),
            dtype=jnp.float32,
            kernel=nn.initializers.truncated_normal(2e-5),
            name="head",
        )(pooled.astype(jnp.float32))


def _dense(block: BlockConfig, features: int, axes: tuple[str | None, str | None]) -> nn.Module:
    return linear(features, axes, dtype=block.dtype, kernel=KERNEL_INITIALIZERS[block.kernel_init])
