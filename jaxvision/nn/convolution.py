"""Convolutions of pictures, and the activation that PyTorch's networks often put behind them."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.sharding import constrain


class Conv(nn.Module):
    """A convolution, padded by `dilation * (window // 2)` on every side, as PyTorch's networks
    mostly are: an odd window of stride 1 keeps the size.

    window: a square's side, or (height, width).
    torch_default: PyTorch's own initial values; otherwise N(0, 2 / (window^2 * features)) and 0.
    looped: whether it is part of a loop that is differentiated: see `looped_convolution`; of odd
        windows, stride and dilation 1.
    dtype: of the result; None for that of the input.
    """

    features: int
    window: int | tuple[int, int] = 3
    stride: int = 1
    dilation: int = 1
    use_bias: bool = True
    torch_default: bool = False
    looped: bool = False
    dtype: jnp.dtype | None = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        inputs, dtype = x.shape[-1], self.dtype or x.dtype
        window = (self.window,) * 2 if isinstance(self.window, int) else self.window
        kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        bias_init = nn.initializers.zeros
        if self.torch_default:
            kernel_init = torch_default_kernel(in_axis=(0, 1, 2))
            bias_init = torch_default_bias(window[0] * window[1] * inputs)
        shape = (*window, inputs, self.features)
        names = (None, None, None, "embed")
        kernel = self.param("kernel", nn.with_logical_partitioning(kernel_init, names), shape)
        if self.looped:
            y = looped_convolution(x.astype(dtype), kernel.astype(dtype))
        else:
            y = jax.lax.conv_general_dilated(
                x.astype(dtype),
                kernel.astype(dtype),
                (self.stride, self.stride),
                [(self.dilation * (side // 2),) * 2 for side in window],
                rhs_dilation=(self.dilation, self.dilation),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        if self.use_bias:
            boxed = nn.with_logical_partitioning(bias_init, ("embed",))
            y = y + self.param("bias", boxed, (self.features,)).astype(dtype)
        return constrain(y, "batch", None, None, "embed")


def _convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c d"], window: tuple[int, int]
) -> Float[Array, "b h2 w2 d"]:
    """Padded by half of `window` on every side."""
    padding = [(side // 2,) * 2 for side in window]
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=order)


@jax.custom_vjp
def looped_convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c d"]
) -> Float[Array, "b h w d"]:
    """A convolution of stride 1 and an odd window, padded to keep the size. Its gradients are
    convolutions of that order of axes, too: XLA has fast code on CPUs for no other, and brings
    JAX's own gradients to it outside loops alone (inside, they took 17 times as long)."""
    return _convolution(x, kernel, (kernel.shape[0], kernel.shape[1]))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return looped_convolution(x, kernel), (x, kernel)


def _backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    window = (kernel.shape[0], kernel.shape[1])
    dx = _convolution(dy, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), window)
    # Channels as the batch, the batch as channels, and dy as a window of the picture's size.
    rows = _convolution(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), window)
    return dx, rows.transpose(1, 2, 0, 3)


looped_convolution.defvjp(_forward, _backward)


class PReLU(nn.Module):
    """max(x, 0) + slope * min(x, 0), one slope per channel, 0.25 at first."""

    @nn.compact
    def __call__(self, x: Float[Array, "*space c"]) -> Float[Array, "*space c"]:
        init = nn.with_logical_partitioning(nn.initializers.constant(0.25), ("embed",))
        slope = self.param("slope", init, (x.shape[-1],))
        return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)
