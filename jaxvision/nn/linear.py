"""Linear maps and layer norms whose parameters have logical axes: what every network is made of."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxvision.nn.initializers import KERNEL_INITIALIZERS, Initializer

zeros: Initializer = nn.initializers.zeros


def logical(init: Initializer, *axes: str | None) -> Any:
    """`init` of a parameter with these logical axes (`jaxvision.nn.sharding`)."""
    return nn.with_logical_partitioning(init, axes)


def linear(
    features: int | tuple[int, ...],
    axes: tuple[str | None, ...],
    *,
    dtype: jnp.dtype,
    kernel: Initializer = KERNEL_INITIALIZERS["normal_0.02"],
    bias: Initializer | None = zeros,
    contracted: int = 1,
    name: str | None = None,
) -> nn.Dense | nn.DenseGeneral:
    """x -> x @ kernel + bias, in the module that calls this.

    features: new axes in place of the last `contracted` ones of x.  axes: the kernel's logical
    axes, the contracted ones first; the bias has the others.  bias: None for none.
    """
    settings: dict[str, Any] = {
        "use_bias": bias is not None,
        "dtype": dtype,
        "kernel_init": logical(kernel, *axes),
        "bias_init": logical(bias or zeros, *axes[contracted:]),
        "name": name,
    }
    if isinstance(features, int) and contracted == 1:
        return nn.Dense(features, **settings)
    return nn.DenseGeneral(features, axis=tuple(range(-contracted, 0)), **settings)


def norm(
    name: str | None,
    *,
    epsilon: float,
    dtype: jnp.dtype,
    axis: str | None = "embed",
    scale: float = 1.0,
    exact_variance: bool = False,
) -> nn.LayerNorm:
    """LayerNorm with float32 statistics, in the module that calls this.

    scale: its first gain.  exact_variance: the mean of squared distances from the mean, not the
    mean square less the squared mean.
    """
    gain = nn.initializers.ones if scale == 1 else nn.initializers.constant(scale)
    return nn.LayerNorm(
        epsilon=epsilon,
        dtype=dtype,
        use_fast_variance=not exact_variance,
        scale_init=logical(gain, axis),
        bias_init=logical(zeros, axis),
        name=name,
    )
