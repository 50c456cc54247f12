"""Batch normalisation whose statistics are per group of the batch."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.nn.sharding import constrain
from jaxvision.ops.dispatch import platform


class BatchNorm(nn.Module):
    """Batch norm over every axis but the last, in `groups` equal runs of neighbouring samples.

    The papers ran one process per GPU and normalised over that process's samples; a group is such a
    process, whatever the mesh. 1 group is synchronised batch norm. Running statistics follow the
    first group (the process whose buffers were saved), with the unbiased variance of PyTorch.

    momentum: weight of the new statistic (PyTorch's convention).
    """

    groups: int = 1
    momentum: float = 0.1
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *space c"],
        use_running: bool,
        valid: Bool[Array, "b *space"] | None = None,
    ) -> Float[Array, "b *space c"]:
        """Normalised x. use_running: use the running statistics and leave them.  valid: which
        positions count (padding does not)."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        values = x.astype(jnp.float32)
        if use_running:
            normal = (values - mean.value) * (1 / jnp.sqrt(var.value + self.epsilon))
        else:
            grouped = values.reshape(self.groups, -1, channels)
            weight = jnp.ones(grouped.shape[:2]) if valid is None else valid.astype(jnp.float32)
            weight = weight.reshape(self.groups, -1, 1)
            count = jnp.maximum(jnp.sum(weight, axis=1, keepdims=True), 1)
            # Rows of voxels on a CPU: see `_sums_by_products`.
            by_products = valid is not None and platform() == "cpu"
            sums = _sums_by_products if by_products else _sums
            spread = _spread_by_products if by_products else _spread
            group_mean = sums(grouped, weight) / count
            centred = grouped - spread(group_mean, weight)
            group_var = sums(jnp.square(centred), weight) / count
            deviation = jnp.sqrt(group_var + self.epsilon)
            if by_products:
                normal = centred * spread(scale / deviation, weight)
                scale = jnp.ones_like(scale)
                bias = spread(jnp.broadcast_to(bias, group_mean.shape), weight)
                bias = bias.reshape(values.shape)
            else:
                normal = centred / deviation
            normal = normal.reshape(values.shape)
            if not self.is_initializing():
                unbiased = group_var * count / jnp.maximum(count - 1, 1)
                for running, new in ((mean, group_mean), (var, unbiased)):
                    running.value = (1 - self.momentum) * running.value + self.momentum * new[0, 0]
        names = ("batch", *(None,) * (x.ndim - 1))
        return constrain((normal * scale + bias).astype(self.dtype), *names)


def _sums(x: Float[Array, "g n c"], weight: Float[Array, "g n 1"]) -> Float[Array, "g 1 c"]:
    return jnp.sum(x * weight, axis=1, keepdims=True)


def _spread(values: Float[Array, "g 1 c"], weight: Float[Array, "g n 1"]) -> Float[Array, "g 1 c"]:
    return values


def _sums_by_products(
    x: Float[Array, "g n c"], weight: Float[Array, "g n 1"]
) -> Float[Array, "g 1 c"]:
    """Weighted sums over rows as a product of matrices in full float32: XLA is ten times slower on
    a CPU to sum over rows that it computes in the same loop."""
    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum("gn,gnc->gc", weight[..., 0], x, precision=exact)[:, None]


def _spread_by_products(
    values: Float[Array, "g 1 c"], weight: Float[Array, "g n 1"]
) -> Float[Array, "g n c"]:
    """The values at every row, so that the gradient, a sum over rows, is a product too."""
    ones, exact = jnp.ones(weight.shape[:2]), jax.lax.Precision.HIGHEST
    return jnp.einsum("gn,gc->gnc", ones, values[:, 0], precision=exact)
