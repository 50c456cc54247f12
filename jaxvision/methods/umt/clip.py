"""The teacher: CLIP's image transformer (2103.00020), frame by frame.

Frozen, and asked for two things: what the class token of its last block looks at, which says where
the student should look; and the features of the last layers at those places. The mask needs only
the last block's scores of one query, so the rest of that block can wait for the mask and be
computed for the chosen places alone, which gives the same numbers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.methods.umt.returned_layers import returned_layers
from jaxvision.nn.linear import logical
from jaxvision.nn.patches import CubeEmbedding, patchify
from jaxvision.nn.transformer import Block, BlockConfig, TransformerStack, layer_norm
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.ops.image_sampling import resize_bicubic


class EarlierBlocks(NamedTuple):
    """What a teacher knows of each frame before its last block; token 0 is the class token.

    returned: outputs of the returned blocks but the last.  last: of the last of them, which is the
    last block's input.
    """

    returned: Float[Array, "k f n1 d"]
    last: Float[Array, "f n1 d"]


class ClipVision(nn.Module):
    """A vision transformer over single frames with a class token; pre-norm, QuickGELU.

    grid: frames are cut by it (tubelet 1: each frame alone).
    output_width: of the shared projection.
    returned, interval: which layers' features, as `returned_layers` counts.
    normalise: features of length 1 (stage 1; stage 2 leaves it to the loss).
    """

    grid: CubeGrid
    block: BlockConfig
    depth: int
    output_width: int
    returned: int = 6
    interval: float = 1.0
    normalise: bool = True

    def setup(self):
        width = self.block.width
        if self.depth < 2:
            raise InputError(f"teacher.depth={self.depth}: expected two blocks or more")
        normal = nn.initializers.normal(width**-0.5)
        self.patch_embedding = CubeEmbedding(width, dtype=self.block.dtype, use_bias=False)
        self.class_embedding = self.param("class_embedding", logical(normal, "embed"), (width,))
        shape = (1 + self.places, width)
        self.positions = self.param("positions", logical(normal, None, "embed"), shape)
        self.pre_norm = layer_norm(self.block, "pre_norm")
        self.stack = TransformerStack(self.block, self.depth - 1)
        self.last_block = Block(self.block, return_weights=True)
        self.post_norm = layer_norm(self.block, "post_norm")
        shape = (width, self.output_width)
        self.projection = self.param("projection", logical(normal, "embed", None), shape)

    @property
    def places(self) -> int:
        """Patches of a frame."""
        return self.grid.window[1] * self.grid.window[2]

    def earlier_blocks(self, video: Float[Array, "b t h w 3"]) -> EarlierBlocks:
        """All but the last block. video: pixels normalised as the student's are."""
        dtype = self.block.dtype
        cubes = patchify(video.astype(dtype), self.grid.tubelet, self.grid.patch)
        frames = cubes.reshape(-1, self.places, cubes.shape[-1])
        x = self.patch_embedding(frames)
        token = jnp.broadcast_to(self.class_embedding.astype(dtype), (x.shape[0], 1, x.shape[-1]))
        x = jnp.concatenate([token, x], axis=1) + self.positions.astype(dtype)
        x = self.pre_norm(x)
        layers = returned_layers(self.depth, self.returned, self.interval)
        blocks = self.depth - 1  # of the stack
        span = max(blocks - min(layers), 1)
        outputs = self.stack(x, last_outputs=span)
        wanted = [layer - (blocks - span) for layer in layers if layer < blocks]
        return EarlierBlocks(outputs[jnp.array(wanted, int)], outputs[-1])

    def attention(self, earlier: EarlierBlocks) -> Float[Array, "f n"]:
        """What the class token of the last block takes of each patch of a frame: the mean over
        heads, float32. The class token's own share is left out, so that rows sum to less than 1."""
        first = jnp.zeros((earlier.last.shape[0], 1), jnp.int32)
        _, weights = self.last_block(earlier.last, 0.0, first)
        return jnp.mean(weights[:, :, 0, 1:], axis=1)

    def features(
        self, earlier: EarlierBlocks, places: Int[Array, "f m"] | None = None
    ) -> Float[Array, "k b tm out"]:
        """Projected features of the returned layers at `places` of each frame (None: all), float32,
        frame by frame."""
        if places is None:
            row = jnp.arange(self.places, dtype=jnp.int32)
            places = jnp.broadcast_to(row, (earlier.last.shape[0], self.places))
        tokens = places + 1  # past the class token
        last, _ = self.last_block(earlier.last, 0.0, tokens)
        kept = jnp.take_along_axis(earlier.returned, tokens[None, :, :, None], axis=2)
        x = self.post_norm(jnp.concatenate([kept, last[None]]))
        x = (x @ self.projection.astype(x.dtype)).astype(jnp.float32)
        if self.normalise:
            x = x / jnp.linalg.norm(x, axis=-1, keepdims=True)
        return x.reshape(x.shape[0], -1, self.grid.window[0] * places.shape[1], x.shape[-1])

    def class_features(self, earlier: EarlierBlocks) -> Float[Array, "f out"]:
        """What CLIP compares with sentences: the projected class token of each frame, float32, of
        any length."""
        first = jnp.zeros((earlier.last.shape[0], 1), jnp.int32)
        last, _ = self.last_block(earlier.last, 0.0, first)
        x = self.post_norm(last[:, 0])
        return (x @ self.projection.astype(x.dtype)).astype(jnp.float32)

    def __call__(
        self, video: Float[Array, "b t h w 3"]
    ) -> tuple[Float[Array, "k b tn out"], Float[Array, "bt n"]]:
        """Features of all patches, and the class token's attention."""
        earlier = self.earlier_blocks(video)
        return self.features(earlier), self.attention(earlier)


def resize_for_teacher(
    video: Float[Array, "b t h w 3"], size: tuple[int, int]
) -> Float[Array, "b t h2 w2 3"]:
    """Frames at the teacher's resolution: bicubic, half-pixel centres, no antialiasing, values left
    unclipped. Frames of that size stay as they are."""
    if video.shape[2:4] == size:
        return video
    return resize_bicubic(video, size)


def build_teacher(
    model: Mapping[str, Any], frames: int, dtype: str, normalise: bool = True
) -> ClipVision:
    """The teacher that a recipe's `teacher` table describes."""
    block = BlockConfig(
        model["width"],
        model["heads"],
        fused_bias=True,
        activation="quick_gelu",
        norm_epsilon=1e-5,
        dtype=jnp.dtype(dtype),
    )
    return ClipVision(
        CubeGrid(frames, tuple(model["image_size"]), 1, model["patch"]),
        block,
        model["depth"],
        model["output_width"],
        returned=model["returned_layers"],
        interval=model["interval"],
        normalise=normalise,
    )
