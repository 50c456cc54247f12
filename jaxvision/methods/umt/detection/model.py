"""The action detector: the encoder's map, averaged over time, seen through boxes of people
(single_modality/action_detection/modeling_finetune.py)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.linear import linear
from jaxvision.nn.transformer import BlockConfig, layer_norm
from jaxvision.nn.video_transformer import CubeGrid, VideoEncoder
from jaxvision.ops.roi_align import roi_align

BINS = (7, 7)


class ActionDetector(nn.Module):
    """Logits of every action for every box of a clip.

    grid: of the frames that positions are made for. A clip of other sides is cut alike, and its
        positions are the grid's, resized bicubically frame by frame; frames are the grid's.
    actions: each a class of its own.  init_scale: factor on the head's initial values.
    """

    grid: CubeGrid
    block: BlockConfig
    depth: int
    actions: int
    init_scale: float = 1.0

    @nn.compact
    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        boxes: Float[Array, "b n 4"],
        deterministic: bool = True,
        features: bool = False,
    ) -> Float[Array, "b n actions"] | Float[Array, "b n d"]:
        """Logits in float32, or what the head reads of each box.

        video: normalised pixels; sides are multiples of the patch.  boxes: x1, y1, x2, y2 in
        pixels; of the rows that are only padding any finite values.
        """
        window = self.grid.window_of(video.shape[1:4])
        encoder = VideoEncoder(self.grid, self.block, self.depth, name="encoder")
        x = encoder(video, deterministic=deterministic)
        x = layer_norm(self.block, "norm")(x).astype(jnp.float32)
        # Time first: resampling by boxes is linear, and the maximum comes after it.
        still = jnp.mean(x.reshape(x.shape[0], *window, -1), axis=1)
        inside = roi_align(still, boxes, BINS, 1 / self.grid.patch)
        pooled = jnp.max(inside, axis=(2, 3))
        if features:
            return pooled
        kernel = nn.initializers.normal(0.02 * self.init_scale)
        head = linear(
            self.actions, ("embed", "vocab"), dtype=jnp.float32, kernel=kernel, name="head"
        )
        return head(pooled)
