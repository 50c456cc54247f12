"""Adaptive mixing with its generator of matrices and its output projection."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.nn.initializers import Initializer, torch_default_bias
from jaxvision.nn.sharding import constrain
from jaxvision.ops.adaptive_mixing import adaptive_mixing

_normal = nn.initializers.normal(0.02)


class AdaptiveMixing(nn.Module):
    """Sampled features of a token, mixed by matrices made from the token, as a vector of its width.

    outputs: points after mixing.  hidden: width between the generator's two linear maps; 0 means a
    single map.  generator_norm_epsilon: of a layer norm before the generator; None means none.
    biases: learned biases on mixed channels and mixed points.  activations, norm_epsilon: see
    `jaxvision.ops.adaptive_mixing`.  torch_initial: PyTorch's first biases and a xavier projection
    (STMixer), in the place of xavier matrices and small normals (SparseFormer).

    Both matrices come straight from slices of the generator's kernel: slicing the small kernel
    spares a copy of the generated matrices, which are the largest tensors of the network.
    """

    outputs: int
    hidden: int = 0
    generator_norm_epsilon: float | None = None
    biases: bool = False
    activations: tuple[str, str] = ("gelu", "gelu")
    norm_epsilon: float | None = None
    torch_initial: bool = False
    dtype: jnp.dtype = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n g p c"], query: Float[Array, "b n d"]
    ) -> Float[Array, "b n d"]:
        width = query.shape[-1]
        groups, points, channels = x.shape[-3:]
        if self.generator_norm_epsilon is not None:
            query = nn.LayerNorm(
                epsilon=self.generator_norm_epsilon,
                dtype=self.dtype,
                scale_init=_logical(nn.initializers.constant(width**-0.5), "embed"),
                bias_init=_logical(nn.initializers.zeros, "embed"),
                name="generator_norm",
            )(query)
        if self.hidden:
            query = nn.Dense(
                self.hidden,
                dtype=self.dtype,
                kernel_init=_logical(_normal, "embed", None),
                bias_init=_logical(nn.initializers.zeros, None),
                name="generator_hidden",
            )(query)
        channel, point = self._matrices(query, groups, points, channels)
        channel_bias = point_bias = None
        if self.biases:
            zeros = nn.initializers.zeros
            channel_bias = self.param("channel_bias", _logical(zeros, None), (channels,))
            point_bias = self.param("point_bias", _logical(zeros, None), (self.outputs,))
        mixed = adaptive_mixing(
            x.astype(self.dtype),
            channel,
            point,
            channel_bias,
            point_bias,
            activations=self.activations,
            norm_epsilon=self.norm_epsilon,
            implementation=self.implementation,
        )
        flat = constrain(mixed.reshape(*mixed.shape[:2], -1), "batch", None, "mlp")
        kernel_init, bias_init = _normal, nn.initializers.zeros
        if self.torch_initial:
            kernel_init = nn.initializers.xavier_uniform()
            bias_init = torch_default_bias(flat.shape[-1])
        return nn.Dense(
            width,
            dtype=self.dtype,
            kernel_init=_logical(kernel_init, "mlp", "embed"),
            bias_init=_logical(bias_init, "embed"),
            name="out",
        )(flat)

    def _matrices(
        self, query: Float[Array, "b n q"], groups: int, points: int, channels: int
    ) -> tuple[Float[Array, "b n g c c"], Float[Array, "b n g o p"]]:
        square, inputs = channels * channels, query.shape[-1]
        size = square + self.outputs * points
        kernel = self.param(
            "generator_kernel",
            _logical(nn.initializers.zeros, "embed", None),
            (inputs, groups * size),
        )
        bias_init = _generator_bias(groups, channels, points, self.outputs)
        if self.torch_initial:
            bias_init = torch_default_bias(inputs)
        bias = self.param("generator_bias", _logical(bias_init, None), (groups * size,))
        kernel = kernel.astype(self.dtype).reshape(inputs, groups, size)
        bias = bias.astype(self.dtype).reshape(groups, size)

        def generated(start: int, stop: int, rows: int) -> Array:
            matrix = kernel[..., start:stop].reshape(inputs, groups, rows, -1)
            made = jnp.einsum("bnq,qgrs->bngrs", query, matrix)
            return made + bias[:, start:stop].reshape(groups, rows, -1)

        return generated(0, square, channels), generated(square, size, self.outputs)


def _logical(init: Initializer, *names: str | None) -> Initializer:
    return nn.with_logical_partitioning(init, names)


def _generator_bias(groups: int, channels: int, points: int, outputs: int) -> Initializer:
    """Xavier uniform for each of the two matrices."""

    def init(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        keys = jax.random.split(key)
        parts = []
        for part, rows, columns in ((0, channels, channels), (1, outputs, points)):
            limit = math.sqrt(6 / (rows + columns))
            parts.append(
                jax.random.uniform(keys[part], (groups, rows * columns), dtype, -limit, limit)
            )
        return jnp.concatenate(parts, axis=1).reshape(shape)

    return init
