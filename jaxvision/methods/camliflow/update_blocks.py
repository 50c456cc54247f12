"""What RAFT's iterations are made of (2003.12039, section 3.3), in pixels and in points: motion
encoder, gated recurrent unit, flow head, upsampling (section 4.2)."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.camliflow.layers import DepthwisePointConv, Linear, PointMLP, Unit
from jaxvision.methods.camliflow.variants import LEVELS, WIDTH
from jaxvision.nn.convolution import Conv, looped_convolution
from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.linear import logical
from jaxvision.ops.convex_upsampling import convex_upsampling
from jaxvision.ops.correlation_lookup import (
    CorrelationVolumes,
    FeaturePyramid,
    Form,
    correlation_pyramid,
)
from jaxvision.ops.point_correlation import neighbour_means, point_correlation

Pixels = Float[Array, "b h w c"]
Points = Float[Array, "b n c"]
CORRELATION_NEIGHBOURS = 16
SELF_NEIGHBOURS = 32  # of each point in its own cloud; layers take the first few


def conv(features: int, window: int | tuple[int, int] = 3) -> Conv:
    return Conv(features, window, torch_default=True, looped=True, dtype=None)


class ImageMotion(nn.Module):
    """Correlations and flow -> `width` channels, the last two of which are the flow."""

    width: int

    def setup(self) -> None:
        width = self.width
        self.corr_1, self.corr_2 = conv(2 * width, 1), conv(3 * width // 2)
        self.flow_1, self.flow_2 = conv(width, 7), conv(width // 2)
        self.both = conv(width - 2)

    def __call__(self, flow: Float[Array, "b h w 2"], correlations: Pixels) -> Pixels:
        relu, flow = jax.nn.relu, flow.astype(correlations.dtype)
        of_corr = relu(self.corr_2(relu(self.corr_1(correlations))))
        of_flow = relu(self.flow_2(relu(self.flow_1(flow))))
        both = relu(self.both(jnp.concatenate([of_corr, of_flow], axis=-1)))
        return jnp.concatenate([both, flow], axis=-1)


class Gate(nn.Module):
    """The parameters of a convolution of the hidden state, the context and the motion features,
    `width` channels each, as it is published: one kernel for all three."""

    width: int
    window: tuple[int, int]

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "kh kw c d"], Float[Array, " d"]]:
        """(kernel, bias)."""
        shape = (*self.window, 3 * self.width, self.width)
        kernel_init = logical(torch_default_kernel(in_axis=(0, 1, 2)), None, None, None, "embed")
        bias_init = logical(torch_default_bias(math.prod(shape[:3])), "embed")
        return self.param("kernel", kernel_init, shape), self.param("bias", bias_init, shape[3:])


class ImageGRU(nn.Module):
    """Along rows, then along columns.

    A convolution is linear, and no iteration changes the context: what it adds to the gates is made
    once (`shares`).
    """

    width: int

    def setup(self) -> None:
        self.rows = [Gate(self.width, (1, 5)) for _ in range(3)]
        self.columns = [Gate(self.width, (5, 1)) for _ in range(3)]

    def shares(self, given: Pixels) -> tuple[Pixels, Pixels]:
        """What the context adds to the three gates before their activations, along rows and along
        columns, with their biases: update, reset, new, `width` channels each."""
        width, found = self.width, []
        for gates in (self.rows, self.columns):
            kernels, biases = zip(*(gate() for gate in gates), strict=True)
            kernel = jnp.concatenate(kernels, axis=-1)[:, :, width : 2 * width]
            y = looped_convolution(given, kernel.astype(given.dtype))
            found.append(y + jnp.concatenate(biases).astype(given.dtype))
        return found[0], found[1]

    def __call__(self, h: Pixels, motion: Pixels, shares: tuple[Pixels, Pixels]) -> Pixels:
        width = self.width
        for gates, share in zip((self.rows, self.columns), shares, strict=True):
            update, reset, new = (_without_context(gate()[0], h.dtype) for gate in gates)
            first = jnp.concatenate([update, reset], axis=-1)
            both = looped_convolution(jnp.concatenate([h, motion], axis=-1), first)
            z, r = jnp.split(jax.nn.sigmoid(both + share[..., : 2 * width]), 2, axis=-1)
            q = looped_convolution(jnp.concatenate([r * h, motion], axis=-1), new)
            q = jnp.tanh(q + share[..., 2 * width :])
            h = (1 - z) * h + z * q
        return jnp.nan_to_num(h)


def _without_context(kernel: Float[Array, "kh kw c d"], dtype: Any) -> Float[Array, "kh kw c2 d"]:
    """Of the hidden state and the motion features alone."""
    hidden, _, motion = jnp.split(kernel.astype(dtype), 3, axis=2)
    return jnp.concatenate([hidden, motion], axis=2)


class ImageFlowHead(nn.Module):
    width: int

    def setup(self) -> None:
        self.first, self.second = conv(2 * self.width), conv(2)

    def __call__(self, h: Pixels) -> Float[Array, "b h w 2"]:
        return self.second(jax.nn.relu(self.first(h)))


class ConvexUpsampler(nn.Module):
    """Flow at `factor` times the size. hidden: of the mask's first layer.  scale: of its logits."""

    factor: int
    hidden: int
    scale: float = 1.0

    def setup(self) -> None:
        self.first, self.second = conv(self.hidden), conv(9 * self.factor**2, 1)

    def mask(self, h: Pixels) -> Pixels:
        return self.scale * self.second(jax.nn.relu(self.first(h)))

    def __call__(self, h: Pixels, flow: Float[Array, "b h w 2"]) -> Float[Array, "b h2 w2 2"]:
        return convex_upsampling(flow, self.mask(h), self.factor)


class ImageBlocks(nn.Module):
    """What the 2D branch repeats, and what leads into it."""

    width: int = WIDTH
    levels: int = LEVELS
    lookup: Form = "on_demand"
    centred: bool = False

    def setup(self) -> None:
        width = self.width
        self.context_aligner, self.correlation_aligner = Linear(2 * width), Linear(2 * width)
        self.motion, self.gru = ImageMotion(width), ImageGRU(width)
        self.flow_head = ImageFlowHead(width)
        self.upsampler = ConvexUpsampler(8, 2 * width, 0.25)

    def pyramid(self, first: Pixels, second: Pixels) -> FeaturePyramid | CorrelationVolumes:
        """What correlations are read from, all iterations long."""
        first, second = self.correlation_aligner(first), self.correlation_aligner(second)
        if self.centred:
            first, second = centred(first, second)
        return correlation_pyramid(first, second, self.levels, self.lookup)

    def context(self, features: Pixels) -> tuple[Pixels, Pixels]:
        """(first hidden state, input of every iteration)."""
        return hidden_and_input(self.context_aligner(features))


def centred(first: Pixels, second: Pixels) -> tuple[Pixels, Pixels]:
    """Less their mean over both frames, and of one length, so that a pixel's correlation with
    itself is 4. What encoders without training have in common in all pixels is most of them."""
    mean = (jnp.mean(first, (1, 2), keepdims=True) + jnp.mean(second, (1, 2), keepdims=True)) / 2

    def unit(x: Pixels) -> Pixels:
        x = (x - mean).astype(jnp.float32)
        length = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
        return (2 * x.shape[-1] ** 0.25 * x / length).astype(first.dtype)

    return unit(first), unit(second)


def hidden_and_input(x: Float[Array, "b *n c"]) -> tuple[Array, Array]:
    hidden, given = jnp.split(x, 2, axis=-1)
    return jnp.tanh(hidden), jax.nn.relu(given)


class PointCorrelation(nn.Module):
    """Correlations with the nearest points at every level -> `width` channels (section 4.2)."""

    width: int

    def setup(self) -> None:
        self.cost_mlp = PointMLP((self.width // 4,) * 2, "relu")
        self.merge = Unit(self.width)

    def level(self, first: Points, second: Points, xyz1: Points, xyz2: Points) -> Points:
        """At one level. second: features of `neighbour_means`.  xyz2: warped towards xyz1."""
        costs = point_correlation(first, second, xyz1, xyz2, CORRELATION_NEIGHBOURS)
        return jnp.sum(self.cost_mlp(costs.astype(first.dtype)), axis=2)

    def __call__(
        self,
        first: Points,
        second: tuple[Points, ...],
        xyz1: Points,
        xyz2: tuple[Points, ...],
    ) -> Points:
        found = [
            self.level(first, features, xyz1, xyz)
            for features, xyz in zip(second, xyz2, strict=True)
        ]
        return self.merge(jnp.concatenate(found, axis=-1))


def feature_levels(features: Points, clouds: tuple[Points, ...]) -> tuple[Points, ...]:
    """Features of each of the clouds, each a mean over three neighbours in the one before."""
    found = [features]
    for fine, coarse in pairwise(clouds):
        found.append(neighbour_means(fine, found[-1], coarse))
    return tuple(found)


class PointWeights(NamedTuple):
    """Weights of the layers of an iteration, each [b, n, k, d]: they depend on where points are
    alone, which no iteration changes."""

    motion: tuple[Array, ...]
    gru: tuple[Array, ...]
    head: tuple[Array, ...]


class PointMotion(nn.Module):
    """Correlations and flow -> `width` channels, the last three of which are the flow."""

    width: int

    def setup(self) -> None:
        width = self.width
        self.corr = DepthwisePointConv(width)
        self.flow_1 = DepthwisePointConv(width // 4, 32)
        self.flow_2 = DepthwisePointConv(width // 8)
        self.both = DepthwisePointConv(width - 3)

    def weights(self, offsets: Float[Array, "b n k 3"]) -> tuple[Array, ...]:
        layers = (self.corr, self.flow_1, self.flow_2, self.both)
        return tuple(layer.weights(offsets) for layer in layers)

    def __call__(
        self,
        flow: Float[Array, "b n 3"],
        correlations: Points,
        weights: tuple[Array, ...],
        neighbours: Int[Array, "b n k"],
    ) -> Points:
        flow = flow.astype(correlations.dtype)
        of_corr = self.corr(correlations, weights[0], neighbours)
        of_flow = self.flow_1(flow, weights[1], neighbours)
        of_flow = self.flow_2(of_flow, weights[2], neighbours)
        both = jnp.concatenate([of_corr, of_flow], axis=-1)
        both = self.both(both, weights[3], neighbours)
        return jnp.concatenate([both, flow], axis=-1)


class PointGRU(nn.Module):
    width: int

    def setup(self) -> None:
        layers = (DepthwisePointConv(self.width, 4, "none") for _ in range(3))
        self.update, self.reset, self.new = layers

    def weights(self, offsets: Float[Array, "b n k 3"]) -> tuple[Array, ...]:
        return tuple(each.weights(offsets) for each in (self.update, self.reset, self.new))

    def __call__(
        self,
        h: Points,
        x: Points,
        weights: tuple[Array, ...],
        neighbours: Int[Array, "b n k"],
    ) -> Points:
        hx = jnp.concatenate([h, x], axis=-1)
        z = jax.nn.sigmoid(self.update(hx, weights[0], neighbours))
        r = jax.nn.sigmoid(self.reset(hx, weights[1], neighbours))
        q = jnp.concatenate([r * h, x], axis=-1)
        q = jnp.tanh(self.new(q, weights[2], neighbours))
        return (1 - z) * h + z * q


class PointFlowHead(nn.Module):
    width: int

    def setup(self) -> None:
        self.first = DepthwisePointConv(self.width, 32)
        self.second = DepthwisePointConv(self.width // 2, 32)
        self.last = Linear(3, zero_bias=True)  # nothing moves at first

    def weights(self, offsets: Float[Array, "b n k 3"]) -> tuple[Array, ...]:
        return tuple(each.weights(offsets) for each in (self.first, self.second))

    def __call__(
        self, h: Points, weights: tuple[Array, ...], neighbours: Int[Array, "b n k"]
    ) -> Float[Array, "b n 3"]:
        x = self.first(h, weights[0], neighbours)
        return self.last(self.second(x, weights[1], neighbours))


class PointBlocks(nn.Module):
    """What the 3D branch repeats, and what leads into it."""

    width: int = WIDTH

    def setup(self) -> None:
        width = self.width
        self.context_aligner = Linear(2 * width)
        self.correlation, self.motion = PointCorrelation(width), PointMotion(width)
        self.gru, self.flow_head = PointGRU(width), PointFlowHead(width)

    def context(self, features: Points) -> tuple[Points, Points]:
        """(first hidden state, input of every iteration)."""
        return hidden_and_input(self.context_aligner(features))

    def weights(self, offsets: Float[Array, "b n k 3"]) -> PointWeights:
        """Of all layers. offsets: from each point to its 32 nearest, itself first."""
        parts = (self.motion, self.gru, self.flow_head)
        return PointWeights(*(part.weights(offsets) for part in parts))
