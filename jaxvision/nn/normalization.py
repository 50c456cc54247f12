"""Batch norm whose statistics are per group of the batch, and layer norm."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.nn.sharding import constrain
from jaxvision.ops.dispatch import platform

EXACT = jax.lax.Precision.HIGHEST


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
            out = normal * scale + bias
        else:
            grouped = values.reshape(self.groups, -1, channels)
            rows = _Rows.of(grouped.shape[:2], valid)
            count = jnp.maximum(jnp.sum(rows.weight, axis=1), 1)[:, None, None]
            group_mean = rows.sums(grouped) / count
            centred = grouped - rows.spread(group_mean)
            group_var = rows.sums(jnp.square(centred)) / count
            factor = scale / jnp.sqrt(group_var + self.epsilon)
            out = centred * rows.spread(factor) + rows.spread(jnp.broadcast_to(bias, factor.shape))
            out = out.reshape(values.shape)
            if not self.is_initializing():
                unbiased = group_var * count / jnp.maximum(count - 1, 1)
                for running, new in ((mean, group_mean), (var, unbiased)):
                    running.value = (1 - self.momentum) * running.value + self.momentum * new[0, 0]
        names = ("batch", *(None,) * (x.ndim - 1))
        return constrain(out.astype(self.dtype), *names)


class LayerNorm(nn.Module):
    """Layer norm over the last axis, computed in float32."""

    epsilon: float = 1e-6
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        rows = _Rows.of((1, x.size // channels), None)
        values = x.astype(jnp.float32).reshape(*rows.weight.shape, channels)
        centred = values - rows.averages(values)
        factor = jax.lax.rsqrt(rows.averages(jnp.square(centred)) + self.epsilon)
        out = centred * (factor * rows.spread(scale[None, None])) + rows.spread(bias[None, None])
        return out.reshape(x.shape).astype(self.dtype)


class _Rows(NamedTuple):
    """Sums over the rows of each group, and a group's values at its rows: each is the gradient of
    the other. Averages of each row.

    by_products: all as products of matrices in full float32. XLA is ten times slower on a CPU to
        sum what it computes in the same loop.
    """

    weight: Float[Array, "g n"]
    by_products: bool

    @classmethod
    def of(cls, shape: tuple[int, ...], valid: Bool[Array, "b *space"] | None) -> "_Rows":
        weight = jnp.ones(shape) if valid is None else valid.astype(jnp.float32).reshape(shape)
        return cls(weight, platform() == "cpu")

    def sums(self, x: Float[Array, "g n c"]) -> Float[Array, "g 1 c"]:
        """Weighted."""
        if not self.by_products:
            return jnp.sum(x * self.weight[..., None], axis=1, keepdims=True)
        return jnp.einsum("gn,gnc->gc", self.weight, x, precision=EXACT)[:, None]

    def spread(self, values: Float[Array, "g 1 c"]) -> Float[Array, "g #n c"]:
        if not self.by_products:
            return values
        ones = jnp.ones_like(self.weight)
        return jnp.einsum("gn,gc->gnc", ones, values[:, 0], precision=EXACT)

    def averages(self, x: Float[Array, "g n c"]) -> Float[Array, "g n #c"]:
        """Over the channels of each row."""
        if not self.by_products:
            return jnp.mean(x, axis=-1, keepdims=True)
        channels = x.shape[-1]
        return jnp.matmul(x, jnp.full((channels, channels), 1 / channels), precision=EXACT)
