"""The student: a video transformer over the tokens that are not masked, aligned with the teacher.

The same network is stage 1's student and stage 2's vision tower (sections 3.1 and 3.2); the
classifier that it becomes is `jaxvision.nn.video_transformer.VideoClassifier`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.umt.returned_layers import returned_layers
from jaxvision.nn.initializers import KERNEL_INITIALIZERS
from jaxvision.nn.linear import linear, norm
from jaxvision.nn.transformer import BlockConfig, layer_norm
from jaxvision.nn.video_transformer import (
    CubeGrid,
    VideoEncoder,
    block_of,
    grid_of,
)


class AlignmentHead(nn.Module):
    """Linear map to the teacher's width, LayerNorm."""

    width: int
    output_width: int
    epsilon: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b m d"]) -> Float[Array, "b m out"]:
        x = linear(
            self.output_width,
            ("embed", None),
            dtype=self.dtype,
            kernel=KERNEL_INITIALIZERS["xavier_uniform"],
            name="projection",
        )(x)
        return norm("norm", epsilon=self.epsilon, dtype=self.dtype, axis=None)(x)


class AlignedEncoder(nn.Module):
    """Encoder, one norm for all returned layers, a head for each.

    returned, interval: which layers have heads, as `returned_layers` counts; 0 = none (fine-tuning
        on language).
    output_width: of the teacher's features.
    head_epsilon: of the heads' norms: 1e-6 in stage 1, 1e-5 in stage 2.
    normalise: aligned features of length 1 (stage 1; stage 2 leaves it to the loss).
    pool_norm: a norm on pooled tokens (stage 2).
    position_table, position_window, image_table: see `VideoEncoder`. Positions are added a second
        time before the heads; those are always fixed.
    """

    grid: CubeGrid
    block: BlockConfig
    depth: int
    output_width: int
    returned: int = 6
    interval: float = 1.0
    head_epsilon: float = 1e-6
    normalise: bool = True
    pool_norm: bool = False
    position_table: bool = False
    position_window: tuple[int, int, int] | None = None
    image_table: bool = False

    def setup(self):
        self.encoder = VideoEncoder(
            self.grid,
            self.block,
            self.depth,
            position_table=self.position_table,
            position_window=self.position_window,
            image_table=self.image_table,
        )
        self.encoder_norm = layer_norm(self.block, "encoder_norm")
        if self.returned:
            # One head a layer, their parameters stacked on a leading axis.
            heads = nn.vmap(
                AlignmentHead,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                metadata_params={nn.PARTITION_NAME: "layers"},
                axis_size=self.returned,
            )
            self.heads = heads(
                self.block.width, self.output_width, self.head_epsilon, self.block.dtype
            )
        if self.pool_norm:
            self.pooled_norm = layer_norm(self.block, "pooled_norm")

    def layers(
        self,
        video: Float[Array, "b t h w 3"],
        visible: Int[Array, "b m"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "k b m d"]:
        """Normed outputs of the returned layers, ascending; of the last block alone where none is
        returned.

        video: normalised pixels.  visible: ascending token indices, or None for all tokens.
        """
        layers = returned_layers(self.depth, self.returned, self.interval) or (self.depth - 1,)
        span = self.depth - layers[0]
        outputs = self.encoder(video, visible, deterministic, span)
        if len(layers) < span:
            outputs = outputs[jnp.array([layer - layers[0] for layer in layers])]
        return self.encoder_norm(outputs)

    def align(
        self,
        layers: Float[Array, "k b m d"],
        size: tuple[int, int, int],
        visible: Int[Array, "b m"] | None = None,
    ) -> Float[Array, "k b m out"]:
        """`layers` as the teacher would have them, float32.  size: (t, h, w) of the video, whose
        tokens are `visible`."""
        positions = self.encoder.fixed_positions(self.grid.window_of(size))
        positions = positions[None] if visible is None else positions[visible]
        x = self.heads(layers + positions.astype(layers.dtype)).astype(jnp.float32)
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True) if self.normalise else x

    def pool(self, tokens: Float[Array, "b n d"], frames: int = 0) -> Float[Array, "b f d"]:
        """The normed mean over all tokens (f = 1), or over those of each of `frames` frames."""
        by_frame = tokens.reshape(tokens.shape[0], frames or 1, -1, tokens.shape[-1])
        return self.pooled_norm(jnp.mean(by_frame.astype(jnp.float32), axis=2))

    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        visible: Int[Array, "b m"] | None = None,
        deterministic: bool = True,
        keep_frames: bool = False,
    ) -> dict[str, Array]:
        """`tokens` [b, m, d]; with heads `aligned` [k, b, m, out]; with a pool norm `pooled`
        [b, 1, d], or [b, t, d] with `keep_frames`."""
        layers = self.layers(video, visible, deterministic)
        size = video.shape[1], video.shape[2], video.shape[3]
        answers = {"tokens": layers[-1]}
        if self.returned:
            answers["aligned"] = self.align(layers, size, visible)
        if self.pool_norm:
            frames = self.grid.window_of(size)[0] if keep_frames else 0
            answers["pooled"] = self.pool(layers[-1], frames)
        return answers


def build_student(
    model: Mapping[str, Any], teacher: Mapping[str, Any], dtype: str
) -> AlignedEncoder:
    """Stage 1's student that a recipe's `model` and `teacher` tables describe."""
    return AlignedEncoder(
        grid_of(model),
        block_of(model, dtype),
        model["depth"],
        teacher["output_width"],
        returned=teacher["returned_layers"],
        interval=model["interval"],
        position_table=model["position_table"],
    )
