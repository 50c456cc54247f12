"""A plain vision transformer over the cubes of a video: the encoder, and a classifier on it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.nn.linear import linear, logical
from jaxvision.nn.patches import CubeEmbedding, patchify
from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import BlockConfig, TransformerStack, layer_norm
from jaxvision.ops.position_tables import resize_table

POOLINGS = ("mean", "first")


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
        return self.window_of((self.frames, *self.image_size))

    def window_of(self, size: tuple[int, ...]) -> tuple[int, int, int]:
        """Tokens along (t, h, w) of a video of `size` (frames, height, width), cut alike."""
        frames, height, width = size
        return frames // self.tubelet, height // self.patch, width // self.patch

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

    grid: the size that positions are made for. A video of another size is cut alike, and its
        positions are the grid's, resized: in space bicubically, then in time linearly.
    token_dropout: rate on the tokens before the first block.
    position_table: a table among the parameters instead of sine-cosine positions. The reference's
        forward pass detaches it, so it never trains.
    position_window: tokens along (t, h, w) that sine-cosine positions are made for and resized
        from; None means the grid's.
    image_table: whether a single frame has sine-cosine positions of its own, made for it.
    """

    grid: CubeGrid
    block: BlockConfig
    depth: int
    token_dropout: float = 0.0
    position_table: bool = False
    position_window: tuple[int, int, int] | None = None
    image_table: bool = False

    @nn.compact
    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        visible: Int[Array, "b m"] | None = None,
        deterministic: bool = True,
        last_outputs: int = 0,
    ) -> Float[Array, "*k b m d"]:
        """Tokens after the last block (before any norm).

        video: normalised pixels.  visible: ascending token indices, or None for all tokens.
        last_outputs: see `TransformerStack`.
        """
        grid, width = self.grid, self.block.width
        cubes = patchify(video.astype(self.block.dtype), grid.tubelet, grid.patch)
        window = grid.window_of(video.shape[1:4])
        if self.position_table:
            table = jax.lax.stop_gradient(self._position_table())
            positions = resize_table(table, grid.window, window)[None]
        else:
            positions = self.fixed_positions(window)[None]
        if visible is not None:
            cubes = take_tokens(cubes, visible)
            positions = positions[0][visible]
        x = CubeEmbedding(width, dtype=self.block.dtype, name="patch_embedding")(cubes)
        x = constrain(x + positions.astype(x.dtype), "batch", None, "embed")
        x = nn.Dropout(self.token_dropout)(x, deterministic=deterministic)
        stack = TransformerStack(self.block, self.depth, name="stack")
        return stack(x, deterministic, last_outputs)

    def fixed_positions(self, window: tuple[int, int, int]) -> Float[Array, "n d"]:
        """The sine-cosine positions of tokens along (t, h, w)."""
        made_for = self.position_window or self.grid.window
        if self.image_table and window[0] == 1:
            made_for = (1, *made_for[1:])
        table = jnp.asarray(sincos_1d(int(np.prod(made_for)), self.block.width))
        return resize_table(table, made_for, window)

    def _position_table(self) -> Float[Array, "n d"]:
        init = logical(nn.initializers.normal(0.02), None, "embed")
        return self.param("positions", init, (self.grid.tokens, self.block.width))


class TransformerMap(nn.Module):
    """A plain video transformer whose last tokens are one map at its patches' stride.

    grid: of the pretraining. A clip of another size is cut alike, and reads the positions of the
    grid resized in space.  flat_positions: one of exactly as many tokens reads them as they are
    (STMixer).
    """

    grid: CubeGrid
    block: BlockConfig
    depth: int
    flat_positions: bool = False

    @nn.compact
    def __call__(
        self, clip: Float[Array, "b t h w 3"], train: bool = False
    ) -> Float[Array, "b t2 h2 w2 d"]:
        """InputError for another number of frames than the grid's."""
        window = self.grid.window_of(clip.shape[1:4])
        if clip.shape[1] != self.grid.frames:
            raise InputError(
                f"a clip of {clip.shape[1]} frames; expected {self.grid.frames}, which the "
                "transformer's positions are made for"
            )
        same = window[1] * window[2] == self.grid.window[1] * self.grid.window[2]
        encoder = VideoEncoder(
            self.grid,
            self.block,
            self.depth,
            position_window=window if same and self.flat_positions else self.grid.window,
            name="encoder",
        )
        tokens = encoder(clip, deterministic=not train)
        return layer_norm(self.block, "norm")(tokens).reshape(clip.shape[0], *window, -1)


class VideoClassifier(nn.Module):
    """Encoder, pooling, norm, head (modeling_finetune.py; every published size is a config of it).

    pooling: "mean" of all tokens, then the norm; or "first", the norm of the first token (t, h, w
        all 0: there is no class token).
    init_scale: factor on the head's initial values.
    position_window: see `VideoEncoder`.
    dropout: `token_dropout` on the embedded tokens, `head_dropout` on the pooled features; the
        blocks' own rates are in `block`.
    """

    grid: CubeGrid
    block: BlockConfig
    depth: int
    classes: int
    pooling: str = "mean"
    position_table: bool = False
    token_dropout: float = 0.0
    head_dropout: float = 0.0
    init_scale: float = 1.0
    position_window: tuple[int, int, int] | None = None

    @nn.compact
    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        deterministic: bool = True,
        features: bool = False,
    ) -> Float[Array, "b classes"] | Float[Array, "b d"]:
        """Logits of a normalised video in float32, or its pooled and normed features."""
        encoder = VideoEncoder(
            self.grid,
            self.block,
            self.depth,
            self.token_dropout,
            self.position_table,
            position_window=self.position_window,
            name="encoder",
        )
        x = encoder(video, deterministic=deterministic).astype(jnp.float32)
        x = jnp.mean(x, axis=1) if self.pooling == "mean" else x[:, 0]
        x = layer_norm(self.block, "norm")(x)
        if features:
            return x.astype(jnp.float32)
        x = nn.Dropout(self.head_dropout)(x, deterministic=deterministic)
        return self._head(x).astype(jnp.float32)

    def _head(self, x: Float[Array, "b d"]) -> Float[Array, "b classes"]:
        def scaled(key, shape, dtype=jnp.float32):
            return 0.02 * self.init_scale * jax.random.normal(key, shape, dtype)

        axes = ("embed", "vocab")
        return linear(self.classes, axes, dtype=self.block.dtype, kernel=scaled, name="head")(x)


# From a recipe's `model` table.

# What it says of a published classifier, beside the encoder.
CLASSIFIER = {
    "pooling": "mean",
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "head_dropout": 0.0,
    "init_scale": 0.001,
}


def grid_of(model: Mapping[str, Any]) -> CubeGrid:
    """InputError where cubes do not fill the video."""
    grid = CubeGrid(model["frames"], tuple(model["image_size"]), model["tubelet"], model["patch"])
    sides = ("frames", "image_size", "image_size")
    cuts = ("tubelet", "patch", "patch")
    for side, cut, length in zip(sides, cuts, (grid.frames, *grid.image_size), strict=True):
        if model[cut] < 1 or length < 1 or length % model[cut]:
            raise InputError(
                f"model.{side} by model.{cut}: {length} does not divide by {model[cut]}"
            )
    return grid


def block_of(model: Mapping[str, Any], dtype: str, **changes: Any) -> BlockConfig:
    """The block of the table's settings, with `changes`."""
    known = {field.name for field in dataclasses.fields(BlockConfig)}
    given = {name: value for name, value in model.items() if name in known}
    return BlockConfig(**{**given, "dtype": jnp.dtype(dtype), **changes})


def build_classifier(model: Mapping[str, Any], classes: int, dtype: str) -> VideoClassifier:
    """The classifier that the table describes."""
    if model["pooling"] not in POOLINGS:
        raise InputError(
            f"model.pooling {model['pooling']!r}: expected one of {', '.join(POOLINGS)}"
        )
    return VideoClassifier(
        grid_of(model),
        block_of(model, dtype, kernel_init="normal_0.02"),
        model["depth"],
        classes,
        pooling=model["pooling"],
        position_table=model["position_table"],
        token_dropout=model["dropout"],
        head_dropout=model["head_dropout"],
        init_scale=model["init_scale"],
        position_window=tuple(model.get("position_window") or ()) or None,
    )


def classifier_flops(model: VideoClassifier) -> float:
    """Floating-point operations of one clip's forward pass: matmuls only, a multiply-add is two."""
    tokens, width = model.grid.tokens, model.block.width
    multiply_adds = (
        tokens * model.grid.cube_values * width
        + block_multiply_adds(model.block, model.depth, tokens)
        + width * model.classes
    )
    return 2.0 * multiply_adds


def block_multiply_adds(block: BlockConfig, depth: int, tokens: int) -> float:
    """Of the matmuls of `depth` blocks over one sample's tokens."""
    projections = 4 * block.width**2 + 2 * block.width * block.hidden
    return depth * tokens * (projections + 2 * tokens * block.width)
