"""Convolutions over planning steps, and the residual block of the temporal U-Net."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.linear import linear, logical, zeros
from jaxvision.nn.sharding import constrain

GROUPS = 32


def sinusoid(t: Int[Array, " n"], width: int) -> Float[Array, "n {width}"]:
    """All sines, then all cosines, of raw steps; frequencies 10000^(-j/(half-1)), j < half."""
    half = width // 2
    frequencies = jnp.exp(-jnp.arange(half) * (jnp.log(10000.0) / (half - 1)))
    angles = t.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def convolve_same(
    x: Float[Array, "b l i"], kernel: Float[Array, "taps i o"]
) -> Float[Array, "b l o"]:
    """Convolution with as many steps out as in; 1 or 3 taps.

    Plans are 1 to 6 steps long, so a padded convolution would spend 2 of every 3 l products on
    zeros (two thirds of them where one step is left): tap by tap, padding is never multiplied, and
    the outer taps of a single step are not even read.
    """
    if kernel.shape[0] == 1:
        return x @ kernel[0]
    y = x @ kernel[1]
    if x.shape[1] > 1:
        y = y + later(x[:, :-1] @ kernel[0]) + earlier(x[:, 1:] @ kernel[2])
    return y


def later(x: Float[Array, "b l c"], steps: int = 1) -> Float[Array, "b m c"]:
    """`x` with `steps` zero rows in front."""
    return jnp.pad(x, ((0, 0), (steps, 0), (0, 0)))


def earlier(x: Float[Array, "b l c"], steps: int = 1) -> Float[Array, "b m c"]:
    """`x` with `steps` zero rows behind."""
    return jnp.pad(x, ((0, 0), (0, steps), (0, 0)))


class Convolution(nn.Module):
    """A 'same' convolution that can also be asked for a part of its input or output channels."""

    inputs: int
    outputs: int
    taps: int = 3
    zero: bool = False
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        kernel = zeros if self.zero else torch_default_kernel((0, 1))
        bias = zeros if self.zero else torch_default_bias(self.taps * self.inputs)
        shape = (self.taps, self.inputs, self.outputs)
        self.kernel = self.param("kernel", logical(kernel, None, "embed", "mlp"), shape)
        self.bias = self.param("bias", logical(bias, "mlp"), (self.outputs,))

    def __call__(self, x: Float[Array, "b l i"]) -> Float[Array, "b l o"]:
        return self.share(x, slice(None)) + self.bias.astype(self.dtype)

    def weights(self, rows: slice) -> Float[Array, "taps i o"]:
        """The kernel's rows of these input channels."""
        return self.kernel[:, rows].astype(self.dtype)

    def share(self, x: Float[Array, "b l i"], rows: slice) -> Float[Array, "b l o"]:
        """What the input channels `rows` add to the output; no bias."""
        return convolve_same(x.astype(self.dtype), self.weights(rows))

    def columns(self, x: Float[Array, "b l i"], part: slice) -> Float[Array, "b l o"]:
        """The output channels `part`; the others are not computed."""
        y = convolve_same(x.astype(self.dtype), self.kernel[..., part].astype(self.dtype))
        return y + self.bias[part].astype(self.dtype)


class Resample(nn.Module):
    """Two taps without padding: one step fewer (down), or transposed, one step more (up)."""

    width: int
    up: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b l c"]) -> Float[Array, "b m c"]:
        init = logical(torch_default_kernel((0, 1)), None, "embed", "mlp")
        kernel = self.param("kernel", init, (2, self.width, self.width)).astype(self.dtype)
        init = logical(torch_default_bias(2 * self.width), "mlp")
        bias = self.param("bias", init, (self.width,)).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.up:
            return earlier(x @ kernel[0]) + later(x @ kernel[1]) + bias
        return x[:, :-1] @ kernel[0] + x[:, 1:] @ kernel[1] + bias


class ConvolutionBlock(nn.Module):
    """Convolution, group norm over (channels of a group, steps), Mish."""

    inputs: int
    outputs: int
    zero: bool = False
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.convolution = Convolution(self.inputs, self.outputs, zero=self.zero, dtype=self.dtype)
        # Two-pass variance: with zero-initialised convolutions the statistics are exactly 0.
        self.norm = nn.GroupNorm(GROUPS, epsilon=1e-5, use_fast_variance=False, dtype=self.dtype)

    def __call__(self, x: Float[Array, "b l i"]) -> Float[Array, "b l o"]:
        return self.activate(self.convolution(x))

    def activate(self, convolved: Float[Array, "b l o"]) -> Float[Array, "b l o"]:
        """Norm and Mish of what the convolution gave."""
        return constrain(jax.nn.mish(self.norm(convolved)), "batch", None, "mlp")


class ResidualBlock(nn.Module):
    """Two convolution blocks, the time term between them, and a shortcut.

    time_width: width of the time embedding; 0 for the baselines, which know no time.
    """

    inputs: int
    outputs: int
    time_width: int
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.first = ConvolutionBlock(self.inputs, self.outputs, dtype=self.dtype)
        self.second = ConvolutionBlock(self.outputs, self.outputs, zero=True, dtype=self.dtype)
        if self.time_width:
            self.time = torch_dense(self.time_width, self.outputs, self.dtype)
        if self.inputs != self.outputs:
            self.shortcut = Convolution(self.inputs, self.outputs, taps=1, dtype=self.dtype)

    def time_term(self, embedding: Float[Array, "n e"]) -> Float[Array, "n o"]:
        """What is added after the first block at each time."""
        return self.time(jax.nn.mish(embedding))

    def __call__(
        self, x: Float[Array, "b l i"], time_term: Float[Array, "n o"] | None
    ) -> Float[Array, "b l o"]:
        """time_term: one row per sample, one for all, or None in a baseline."""
        shortcut = x if self.inputs == self.outputs else self.shortcut(x)
        return self.finish(self.first.convolution(x), shortcut, time_term)

    def finish(
        self,
        convolved: Float[Array, "b l o"],
        shortcut: Float[Array, "b l o"],
        time_term: Float[Array, "n o"] | None,
    ) -> Float[Array, "b l o"]:
        """The block from its first convolution and its shortcut on."""
        y = self.first.activate(convolved)
        if time_term is not None:
            y = y + time_term[:, None]
        return self.second(y) + shortcut


def torch_dense(inputs: int, outputs: int, dtype: jnp.dtype, name: str | None = None) -> nn.Module:
    """A linear layer that starts as PyTorch's does."""
    kernel, bias = torch_default_kernel(), torch_default_bias(inputs)
    return linear(outputs, ("embed", "mlp"), dtype=dtype, kernel=kernel, bias=bias, name=name)
