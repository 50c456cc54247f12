"""VideoMAE's action classifier: the encoder on every token, pooled, and a linear head."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.videomae.model import CubeGrid, VideoEncoder
from jaxvision.nn.transformer import BlockConfig, layer_norm


class VideoClassifier(nn.Module):
    """Encoder, pooling, norm, head (modeling_finetune.py; every published size is a config of it).

    pooling: "mean" of all tokens, then the norm; or "first", the norm of the first token (t, h, w
        all 0: there is no class token).
    init_scale: factor on the head's initial values.
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

        return nn.Dense(
            self.classes,
            dtype=self.block.dtype,
            kernel_init=nn.with_logical_partitioning(scaled, ("embed", "vocab")),
            bias_init=nn.with_logical_partitioning(nn.initializers.zeros, ("vocab",)),
            name="head",
        )(x)
