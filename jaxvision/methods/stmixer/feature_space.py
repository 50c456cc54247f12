"""The 4D feature space: what the backbone gives, at four strides and of one width (section 3.1)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.linear import linear, logical, norm
from jaxvision.nn.resnet3d import VideoConv
from jaxvision.ops.video_convolution import max_pool

Clip = Float[Array, "b t h w c"]
NORM_EPSILON = 1e-6


class LateralMaps(nn.Module):
    """A linear map of each stage of a convolutional backbone."""

    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, stages: tuple[Clip, ...]) -> tuple[Clip, ...]:
        kaiming = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        return tuple(
            linear(
                self.width,
                ("embed", None),
                dtype=self.dtype,
                kernel=kaiming,
                name=f"level_{level}",
            )(stage)
            for level, stage in enumerate(stages)
        )


class Doubling(nn.Module):
    """A transposed convolution of window and stride 2 in space: every pixel becomes four, so it is
    a linear map."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Clip) -> Clip:
        b, t, h, w, c = x.shape
        init = logical(torch_default_kernel(in_axis=0), "embed", None, None, None)
        kernel = self.param("kernel", init, (c, 2, 2, self.features))
        init = logical(torch_default_bias(4 * self.features), None)
        bias = self.param("bias", init, (self.features,))
        y = jnp.einsum("bthwc,cijd->bthiwjd", x.astype(self.dtype), kernel.astype(self.dtype))
        return y.reshape(b, t, 2 * h, 2 * w, self.features) + bias.astype(self.dtype)


class SimplePyramid(nn.Module):
    """Four levels of a plain transformer's one map (ViTDet 2203.16527, section 3)."""

    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens: Clip) -> tuple[Clip, ...]:
        """tokens: at stride 16; both sides even. Levels at strides 4, 8, 16, 32."""
        inputs = tokens.shape[-1]
        finest = Doubling(inputs // 2, self.dtype, name="double_0")(tokens)
        finest = nn.gelu(self._norm("double_norm_0")(finest), approximate=False)
        finest = Doubling(inputs // 4, self.dtype, name="double_0_again")(finest)
        fine = Doubling(inputs // 2, self.dtype, name="double_1")(tokens)
        coarse = max_pool(tokens, (1, 2, 2), (1, 2, 2))
        return tuple(
            self._level(level, x) for level, x in enumerate((finest, fine, tokens, coarse))
        )

    def _norm(self, name: str) -> nn.LayerNorm:
        return norm(name, epsilon=NORM_EPSILON, dtype=self.dtype)

    def _level(self, level: int, x: Clip) -> Clip:
        lateral = linear(
            self.width,
            ("embed", None),
            dtype=self.dtype,
            kernel=torch_default_kernel(),
            bias=None,
            name=f"lateral_{level}",
        )
        x = self._norm(f"lateral_norm_{level}")(lateral(x))
        return VideoConv(self.width, (3, 3, 3), dtype=self.dtype, name=f"output_{level}")(x)
