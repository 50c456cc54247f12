"""Initial values as the papers' frameworks draw them, tagged with logical axes."""

import math
from collections.abc import Callable, Sequence

import jax
from flax import linen as nn

Initializer = Callable[..., jax.Array]


def torch_default_kernel(in_axis: int | Sequence[int] = -2) -> Initializer:
    """PyTorch's default for linear and convolution weights: U(+-1/sqrt(fan_in))."""
    return nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=in_axis)


def torch_default_bias(fan_in: int) -> Initializer:
    """PyTorch's default for linear and convolution biases: U(+-1/sqrt(fan_in))."""
    limit = 1 / math.sqrt(fan_in)

    def init(key, shape, dtype=None):
        return jax.random.uniform(key, shape, dtype or "float32", -limit, limit)

    return init


KERNEL_INITIALIZERS: dict[str, Initializer] = {
    "xavier_uniform": nn.initializers.xavier_uniform(),
    # Cut at +-2 in absolute terms upstream, which is a hundred sigmas: an ordinary normal.
    "normal_0.02": nn.initializers.normal(0.02),
    "torch_default": torch_default_kernel(),
}
