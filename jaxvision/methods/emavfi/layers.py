"""Convolutions as this network has them: PReLU behind almost all, and a transposed one."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.sharding import constrain


def fan_out_normal() -> Initializer:
    """N(0, 2 / (window * outputs)): the extractor's and the U-Net's convolutions."""
    return nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class PReLU(nn.Module):
    """max(x, 0) + slope * min(x, 0), one slope per channel, 0.25 at first."""

    @nn.compact
    def __call__(self, x: Float[Array, "*space c"]) -> Float[Array, "*space c"]:
        init = nn.with_logical_partitioning(nn.initializers.constant(0.25), ("embed",))
        slope = self.param("slope", init, (x.shape[-1],))
        return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)


class Conv(nn.Module):
    """A square convolution with bias, padded by `dilation * (window // 2)` on every side.

    torch_default: PyTorch's own initial values instead of the fan-out normal and zero.
    """

    features: int
    window: int = 3
    stride: int = 1
    dilation: int = 1
    torch_default: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        inputs = x.shape[-1]
        kernel_init, bias_init = fan_out_normal(), nn.initializers.zeros
        if self.torch_default:
            kernel_init = torch_default_kernel(in_axis=(0, 1, 2))
            bias_init = torch_default_bias(self.window**2 * inputs)
        shape = (self.window, self.window, inputs, self.features)
        names = (None, None, None, "embed")
        kernel = self.param("kernel", nn.with_logical_partitioning(kernel_init, names), shape)
        bias = self.param(
            "bias", nn.with_logical_partitioning(bias_init, ("embed",)), (self.features,)
        )
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (self.stride, self.stride),
            [(self.dilation * (self.window // 2),) * 2] * 2,
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return constrain(y + bias.astype(self.dtype), "batch", None, None, "embed")


class ConvPReLU(nn.Module):
    """A 3 x 3 convolution and its PReLU."""

    features: int
    stride: int = 1
    torch_default: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        conv = Conv(
            self.features,
            stride=self.stride,
            torch_default=self.torch_default,
            dtype=self.dtype,
            name="conv",
        )
        return PReLU(name="prelu")(conv(x))


class ConvStack(nn.Module):
    """`depth` times ConvPReLU; the first one has the stride."""

    features: int
    depth: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        for number in range(self.depth):
            stride = self.stride if number == 0 else 1
            x = ConvPReLU(self.features, stride, dtype=self.dtype, name=f"layer_{number}")(x)
        return x


class UpConvPReLU(nn.Module):
    """A transposed 4 x 4 convolution of stride 2 and padding 1 (twice the size), and its PReLU.

    Each output pixel sees 2 x 2 inputs, and the four phases of a 2 x 2 output cell use disjoint
    quarters of the kernel. So one 2 x 2 convolution gives all four phases as channels, without the
    zeros that dilating the input would multiply. The kernel is kept as for the dilated form
    (4, 4, in, out).
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        b, h, w, inputs = x.shape
        # PyTorch counts a transposed convolution's fan-in over its outputs.
        bound = torch_default_bias(16 * self.features)
        names = (None, None, None, "embed")
        kernel = self.param(
            "kernel", nn.with_logical_partitioning(bound, names), (4, 4, inputs, self.features)
        )
        bias = self.param("bias", nn.with_logical_partitioning(bound, ("embed",)), (self.features,))
        # Tap 2a + p along an axis belongs to window position a and output phase p.
        phases = kernel.reshape(2, 2, 2, 2, inputs, self.features).transpose(0, 2, 4, 1, 3, 5)
        # Padded beforehand: on CPU the kernel gradient of a padded even window is far slower.
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        y = jax.lax.conv_general_dilated(
            x,
            phases.reshape(2, 2, inputs, 4 * self.features).astype(self.dtype),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ).reshape(b, h + 1, w + 1, 2, 2, self.features)
        # Phase 0 looks one pixel back, phase 1 one ahead.
        rows = jnp.stack([y[:, :h, :, 0], y[:, 1:, :, 1]], axis=2)
        cells = jnp.stack([rows[:, :, :, :w, 0], rows[:, :, :, 1:, 1]], axis=4)
        y = cells.reshape(b, 2 * h, 2 * w, self.features) + bias.astype(self.dtype)
        return PReLU(name="prelu")(constrain(y, "batch", None, None, "embed"))


class DepthwiseConv(nn.Module):
    """A 3 x 3 convolution of every channel by itself, as nine shifted products: they fuse into one
    pass over memory, where grouped convolutions are slow on most backends."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        height, width, channels = x.shape[1:]
        init = nn.initializers.normal(math.sqrt(2 / 9))
        kernel = self.param(
            "kernel", nn.with_logical_partitioning(init, (None, None, "mlp")), (3, 3, channels)
        ).astype(self.dtype)
        zeros = nn.with_logical_partitioning(nn.initializers.zeros, ("mlp",))
        bias = self.param("bias", zeros, (channels,)).astype(self.dtype)
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = (
            padded[:, i : i + height, j : j + width] * kernel[i, j]
            for i in range(3)
            for j in range(3)
        )
        return functools.reduce(jnp.add, shifted) + bias
