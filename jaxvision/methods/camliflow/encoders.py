"""Encoders: half a ResNet-50 and a residual pyramid for images, point convolutions for clouds."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.camliflow.layers import ACTIVATIONS, ConvUnit, PointConv, PointMLP, Unit
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours

NEIGHBOURS = 16
STAGES = ((3, 64), (4, 128))  # blocks and inner width of ResNet-50's first two


def resnet_unit(features: int, window: int, stride: int, **options: Any) -> ConvUnit:
    """With ResNet's initial values, which keep the variance of what passes: norms that never see a
    batch would not."""
    return ConvUnit(features, window, stride, norm=True, torch_default=False, **options)


class Bottleneck(nn.Module):
    """ResNet's block with the stride on its middle convolution."""

    inner: int
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], use_running: bool = True
    ) -> Float[Array, "b h2 w2 d"]:
        def layer(name: str, width: int, window: int, stride: int, activation: str) -> ConvUnit:
            return resnet_unit(width, window, stride, activation=activation, name=name)

        outputs = 4 * self.inner
        y = layer("first", self.inner, 1, 1, "relu")(x, use_running)
        y = layer("middle", self.inner, 3, self.stride, activation="relu")(y, use_running)
        y = layer("last", outputs, 1, 1, "none")(y, use_running)
        if x.shape[-1] != outputs:
            x = layer("shortcut", outputs, 1, self.stride, activation="none")(x, use_running)
        return jax.nn.relu(x + y)


class ResNetEncoder(nn.Module):
    """An eighth of the image's size: ResNet-50's stem and first two stages, then 1 x 1. sizes:
    blocks and inner width of each stage, which gives four times the latter."""

    features: int = 128
    sizes: tuple[tuple[int, int], ...] = STAGES

    def setup(self) -> None:
        self.stem = resnet_unit(self.sizes[0][1], 7, 2, activation="relu")
        self.stages = [
            [Bottleneck(inner, 1 + (number > 0 and block == 0)) for block in range(blocks)]
            for number, (blocks, inner) in enumerate(self.sizes)
        ]
        self.align = Unit(self.features)

    def maps(self, image: Float[Array, "b h w 3"], use_running: bool = True) -> list[Array]:
        """After the stem and after each stage."""
        x = self.stem(image, use_running)
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
        found = [nn.max_pool(padded, (3, 3), (2, 2))]
        for stage in self.stages:
            x = found[-1]
            for block in stage:
                x = block(x, use_running)
            found.append(x)
        return found

    def __call__(
        self, image: Float[Array, "b h w 3"], use_running: bool = True
    ) -> Float[Array, "b h2 w2 d"]:
        return self.align(self.maps(image, use_running)[-1])


class ResidualStep(nn.Module):
    """Half the size."""

    features: int
    groups: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], use_running: bool) -> Float[Array, "b h2 w2 d"]:
        settings = {"norm": True, "groups": self.groups}
        y = ConvUnit(self.features, 3, 2, name="first", **settings)(x, use_running)
        y = ConvUnit(self.features, 3, activation="none", name="second", **settings)(y, use_running)
        x = ConvUnit(self.features, 1, 2, activation="none", name="shortcut", **settings)(
            x, use_running
        )
        return ACTIVATIONS["leaky"](x + y)


class ImagePyramid(nn.Module):
    """Maps of 1/2, 1/4, ... of the image's size."""

    widths: tuple[int, ...]
    groups: int = 1

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"], use_running: bool) -> list[Array]:
        found, x = [], image
        for level, width in enumerate(self.widths):
            x = ResidualStep(width, self.groups, name=f"level_{level}")(x, use_running)
            found.append(x)
        return found


class PointPyramid(nn.Module):
    """Features, of `dtype`, of a whole cloud and of the smaller ones drawn from it."""

    widths: tuple[int, ...]
    groups: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, clouds: Sequence[Float[Array, "b n 3"]], use_running: bool) -> list[Array]:
        """clouds: the whole one first, each a part of the one before; as many are used as there are
        widths."""
        first = self.widths[0]
        # Absolute coordinates enter here: in float32, as the first layer is small.
        found = [PointMLP((first, first), name="level_0")(clouds[0]).astype(self.dtype)]
        for level, width in enumerate(self.widths[1:], 1):
            fine, coarse = clouds[level - 1], clouds[level]
            x = PointMLP((self.widths[level - 1], width), name=f"mlp_{level}")(found[-1])
            neighbours, _ = k_nearest_neighbours(fine, coarse, NEIGHBOURS)
            conv = PointConv(width, norm=True, groups=self.groups, name=f"conv_{level}")
            found.append(conv(fine, x, neighbours, coarse, use_running=use_running))
        return found
