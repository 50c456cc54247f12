"""The early convolution: the only part that sees every pixel (section 3.3)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.initializers import torch_default_bias
from jaxvision.nn.sharding import constrain


def channel_norm(x: Float[Array, "*b c"], epsilon: float, unbiased: bool) -> Float[Array, "*b c"]:
    """Mean 0 and deviation 1 over the channels of each pixel, in float32, without scale and shift.

    unbiased: the variance divides by c - 1 (the paper's code) instead of c.
    """
    values = x.astype(jnp.float32)
    centred = values - jnp.mean(values, axis=-1, keepdims=True)
    count = x.shape[-1] - unbiased
    variance = jnp.sum(jnp.square(centred), axis=-1, keepdims=True) / count
    return (centred / jnp.sqrt(variance + epsilon)).astype(x.dtype)


class Stem(nn.Module):
    """7x7 convolution of stride 2, ReLU, 3x3 max pooling of stride 2, channel norm.

    The sides come out as ceil(ceil(side / 2) / 2). Frames of a clip are pictures of their own.
    """

    channels: int
    norm_epsilon: float
    norm_unbiased: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b *t h w 3"]) -> Float[Array, "b *t h4 w4 c"]:
        lead = images.shape[:-3]
        x = images.reshape(-1, *images.shape[-3:])
        x = nn.Conv(
            self.channels,
            (7, 7),
            (2, 2),
            padding=((3, 3), (3, 3)),
            dtype=self.dtype,
            kernel_init=nn.with_logical_partitioning(
                nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
                (None, None, None, None),
            ),
            bias_init=nn.with_logical_partitioning(torch_default_bias(147), (None,)),
            name="convolution",
        )(x)
        x = nn.max_pool(nn.relu(x), (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        x = channel_norm(x, self.norm_epsilon, self.norm_unbiased)
        x = x.reshape(*lead, *x.shape[1:])
        return constrain(x, "batch", *(None,) * (x.ndim - 1))
