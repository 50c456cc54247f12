"""Layers of points and pixels: linear or convolution, norm, activation; point convolutions.

A layer computes in the dtype of the features it is given. Coordinates, offsets and flows are
float32 whatever that is: bfloat16 cannot tell neighbouring pixels apart.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.nn.convolution import Conv
from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.linear import logical
from jaxvision.nn.normalization import BatchNorm
from jaxvision.ops.grouping import group_points
from jaxvision.ops.point_convolution import depthwise_point_convolution, point_convolution

SLOPE = 0.1
ACTIVATIONS = {
    "leaky": lambda x: jax.nn.leaky_relu(x, SLOPE),
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "none": lambda x: x,
}


class Linear(nn.Module):
    """A linear map with PyTorch's initial values. zero_bias: but a bias of 0."""

    features: int
    use_bias: bool = True
    zero_bias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n d"]:
        inputs = x.shape[-1]
        kernel_init = logical(torch_default_kernel(), None, "embed")
        y = x @ self.param("kernel", kernel_init, (inputs, self.features)).astype(x.dtype)
        if self.use_bias:
            first = nn.initializers.zeros if self.zero_bias else torch_default_bias(inputs)
            bias_init = logical(first, "embed")
            y = y + self.param("bias", bias_init, (self.features,)).astype(x.dtype)
        return y


class Unit(nn.Module):
    """A linear map of each point or pixel, with a bias where there is no norm."""

    features: int
    norm: bool = False
    activation: str = "leaky"
    groups: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *n c"], use_running: bool = True
    ) -> Float[Array, "b *n d"]:
        x = Linear(self.features, use_bias=not self.norm, name="linear")(x)
        if self.norm:
            x = BatchNorm(self.groups, dtype=x.dtype, name="norm")(x, use_running)
        return ACTIVATIONS[self.activation](x)


class PointMLP(nn.Module):
    """Units one after the other, each with its activation."""

    widths: tuple[int, ...]
    activation: str = "leaky"

    @nn.compact
    def __call__(self, x: Float[Array, "b *n c"]) -> Float[Array, "b *n d"]:
        for number, width in enumerate(self.widths):
            x = Unit(width, activation=self.activation, name=f"layer_{number}")(x)
        return x


class ConvUnit(nn.Module):
    """A convolution of pixels, with a bias where there is no norm."""

    features: int
    window: int = 3
    stride: int = 1
    dilation: int = 1
    norm: bool = False
    activation: str = "leaky"
    groups: int = 1
    torch_default: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], use_running: bool = True
    ) -> Float[Array, "b h2 w2 d"]:
        x = Conv(
            self.features,
            self.window,
            self.stride,
            self.dilation,
            use_bias=not self.norm,
            torch_default=self.torch_default,
            dtype=None,
            name="conv",
        )(x)
        if self.norm:
            x = BatchNorm(self.groups, dtype=x.dtype, name="norm")(x, use_running)
        return ACTIVATIONS[self.activation](x)


def offsets_of(
    xyz: Float[Array, "b n 3"],
    centres: Float[Array, "b m 3"],
    neighbours: Int[Array, "b m k"],
) -> Float[Array, "b m k 3"]:
    """From each centre to its neighbours."""
    return group_points(xyz, neighbours) - centres[:, :, None]


class PointConv(nn.Module):
    """A convolution with weights that a small network makes of offsets (1811.07246): 16 weighted
    sums of the neighbours' coordinates and features, and a linear map of them."""

    features: int
    norm: bool = False
    groups: int = 1

    @nn.compact
    def __call__(
        self,
        xyz: Float[Array, "b n 3"],
        features: Float[Array, "b n c"],
        neighbours: Int[Array, "b m k"],
        centres: Float[Array, "b m 3"],
        use_running: bool = True,
    ) -> Float[Array, "b m d"]:
        """neighbours: rows of `xyz` around each of `centres`."""
        offsets = offsets_of(xyz, centres, neighbours)
        dtype = features.dtype
        weights = PointMLP((8, 16), name="weight_net")(offsets.astype(dtype))
        x = jnp.concatenate([xyz.astype(dtype), features], axis=-1)
        x = Linear(self.features, name="linear")(point_convolution(x, weights, neighbours))
        if self.norm:
            x = BatchNorm(self.groups, dtype=x.dtype, name="norm")(x, use_running)
        return ACTIVATIONS["leaky"](x)


class DepthwisePointConv(nn.Module):
    """The maximum over neighbours of their features, weighted channel by channel; weights are made
    of offsets alone and at least 0, so they may be made once for points that stay."""

    features: int
    k: int = 16
    activation: str = "leaky"

    def setup(self) -> None:
        self.mlp = Unit(self.features, activation=self.activation)
        self.weight_net = PointMLP((8, 32, self.features), "relu")

    def weights(self, offsets: Float[Array, "b m k2 3"]) -> Float[Array, "b m k d"]:
        """Of the k nearest neighbours' offsets."""
        return self.weight_net(offsets[:, :, : self.k])

    def __call__(
        self,
        features: Float[Array, "b n c"],
        weights: Float[Array, "b m k d"],
        neighbours: Int[Array, "b m k2"],
    ) -> Float[Array, "b m d"]:
        return depthwise_point_convolution(self.mlp(features), weights, neighbours[:, :, : self.k])
