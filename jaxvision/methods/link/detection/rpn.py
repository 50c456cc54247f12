"""The detector's neck: a small pyramid on the bird's-eye map (SECOND's RPN)."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.link.detection.backbone import EPSILON, MOMENTUM
from jaxvision.nn.initializers import torch_default_kernel
from jaxvision.nn.normalization import BatchNorm

Map = Float[Array, "b h w c"]
KERNEL_AXES = (None, None, "embed", "mlp")


class MapLayer(nn.Module):
    """2-D convolution without bias, batch norm, ReLU.  edge: of the square kernel."""

    outputs: int
    edge: int = 3
    stride: int = 1
    padding: int = 1
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    momentum: float = MOMENTUM

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Map:
        x = nn.Conv(
            self.outputs,
            (self.edge, self.edge),
            self.stride,
            [(self.padding, self.padding)] * 2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.with_logical_partitioning(
                torch_default_kernel((-4, -3, -2)), KERNEL_AXES
            ),
        )(x)
        x = BatchNorm(self.norm_groups, self.momentum, EPSILON, self.dtype)(x, not train)
        return jax.nn.relu(x)


class Upsample(nn.Module):
    """Transposed convolution whose windows do not overlap, batch norm, ReLU.

    Kernel (edge, edge, in, out): out[edge * i + a, edge * j + b] = x[i, j] @ kernel[a, b].
    """

    outputs: int
    edge: int
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    momentum: float = MOMENTUM

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Map:
        batch, height, width, inputs = x.shape
        edge = self.edge
        # PyTorch takes a transposed convolution's fan from its outputs.
        limit = 1 / math.sqrt(self.outputs * edge * edge)

        def init(key, shape, dtype=jnp.float32):
            return jax.random.uniform(key, shape, dtype, -limit, limit)

        kernel = self.param(
            "kernel",
            nn.with_logical_partitioning(init, KERNEL_AXES),
            (edge, edge, inputs, self.outputs),
        )
        y = jnp.einsum("bijc,kldc->bikjld", x, kernel.swapaxes(2, 3).astype(self.dtype))
        y = y.reshape(batch, height * edge, width * edge, self.outputs)
        y = BatchNorm(self.norm_groups, self.momentum, EPSILON, self.dtype)(y, not train)
        return jax.nn.relu(y)


class RPN(nn.Module):
    """Blocks of 3x3 convolutions at falling resolution, brought back together.

    layers: convolutions of each block behind its first, strided one.
    upsampling: of each block's map; 2 doubles its sides, 0.5 halves them.
    """

    layers: tuple[int, ...] = (5, 5)
    strides: tuple[int, ...] = (1, 2)
    widths: tuple[int, ...] = (128, 256)
    upsampling: tuple[float, ...] = (1, 2)
    upsampled_widths: tuple[int, ...] = (256, 256)
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    momentum: float = MOMENTUM

    @nn.compact
    def __call__(self, x: Map, train: bool = False) -> Map:
        x, joined = x.astype(self.dtype), []
        shared = {"norm_groups": self.norm_groups, "dtype": self.dtype, "momentum": self.momentum}
        for block, count in enumerate(self.layers):
            width, stride = self.widths[block], self.strides[block]
            for layer in range(count + 1):
                name = f"block{block}_{layer}"
                step = 1 if layer else stride
                x = MapLayer(width, stride=step, **shared, name=name)(x, train)
            outputs, scale = self.upsampled_widths[block], self.upsampling[block]
            name = f"joined{block}"
            if scale > 1:
                y = Upsample(outputs, int(scale), **shared, name=name)(x, train)
            else:
                edge = round(1 / scale)
                y = MapLayer(outputs, edge, edge, 0, **shared, name=name)(x, train)
            joined.append(y)
        return jnp.concatenate(joined, axis=-1)
