"""Dense networks of SparseFormer-T's accuracy, for sparseformer.py: ViT-S/16 and ResNet-50."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxvision.nn.patches import CubeEmbedding, patchify
from jaxvision.nn.transformer import BlockConfig, TransformerStack


class VisionTransformer(nn.Module):
    """ViT-S/16 (2010.11929) with mean pooling."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        block = BlockConfig(384, 6, dtype=self.dtype)
        cubes = patchify(images[:, None].astype(self.dtype), 1, 16)
        x = CubeEmbedding(block.width, dtype=self.dtype)(cubes)
        x = x + self.param("positions", nn.initializers.normal(0.02), x.shape[1:]).astype(x.dtype)
        x = TransformerStack(block, 12)(x)
        return nn.Dense(1000, dtype=self.dtype)(jnp.mean(nn.LayerNorm()(x), axis=1))


class ResNet50(nn.Module):
    """1512.03385, in evaluation: batch norm is a scale and a shift."""

    dtype: jnp.dtype = jnp.float32

    def _conv(self, x: jax.Array, width: int, window: int, stride: int = 1) -> jax.Array:
        x = nn.Conv(width, (window, window), (stride, stride), use_bias=False, dtype=self.dtype)(x)
        return nn.BatchNorm(use_running_average=True, dtype=self.dtype)(x)

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = nn.relu(self._conv(images.astype(self.dtype), 64, 7, 2))
        x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        for stage, depth in enumerate((3, 4, 6, 3)):
            for block in range(depth):
                stride = 2 if stage and not block else 1
                y = nn.relu(self._conv(x, 64 * 2**stage, 1))
                y = nn.relu(self._conv(y, 64 * 2**stage, 3, stride))
                y = self._conv(y, 256 * 2**stage, 1)
                if not block:
                    x = self._conv(x, 256 * 2**stage, 1, stride)
                x = nn.relu(x + y)
        return nn.Dense(1000, dtype=self.dtype)(jnp.mean(x, axis=(1, 2)))
