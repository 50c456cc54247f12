"""Adaptive mixing with its generator of matrices and its output projection."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.nn.initializers import KERNEL_INITIALIZERS, Initializer, torch_default_bias
from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.sharding import constrain
from jaxvision.ops.adaptive_mixing import adaptive_mixing


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
            query = norm(
                "generator_norm",
                epsilon=self.generator_norm_epsilon,
                dtype=self.dtype,
                scale=width**-0.5,
            )(query)
        if self.hidden:
            axes = ("embed", None)
            query = linear(self.hidden, axes, dtype=self.dtype, name="generator_hidden")(query)
        channel, point = self._matrices(query, groups, points, channels)
        channel_bias = point_bias = None
        if self.biases:
            channel_bias = self.param("channel_bias", logical(zeros, None), (channels,))
            point_bias = self.param("point_bias", logical(zeros, None), (self.outputs,))
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
        mixed = constrain(mixed.reshape(*mixed.shape[:2], -1), "batch", None, "mlp")
        kernel = "xavier_uniform" if self.torch_initial else "normal_0.02"
        bias = torch_default_bias(mixed.shape[-1]) if self.torch_initial else zeros
        return linear(
            width,
            ("mlp", "embed"),
            dtype=self.dtype,
            kernel=KERNEL_INITIALIZERS[kernel],
            bias=bias,
            name="out",
        )(mixed)

    def _matrices(
        self, query: Float[Array, "b n q"], groups: int, points: int, channels: int
    ) -> tuple[Float[Array, "b n g c c"], Float[Array, "b n g o p"]]:
        square, inputs = channels * channels, query.shape[-1]
        size = square + self.outputs * points
        kernel = self.param(
            "generator_kernel",
            logical(zeros, "embed", None),
            (inputs, groups * size),
        )
        bias_init = _generator_bias(groups, channels, points, self.outputs)
        if self.torch_initial:
            bias_init = torch_default_bias(inputs)
        bias = self.param("generator_bias", logical(bias_init, None), (groups * size,))
        kernel = kernel.astype(self.dtype).reshape(inputs, groups, size)
        bias = bias.astype(self.dtype).reshape(groups, size)

        def generated(start: int, stop: int, rows: int) -> Array:
            matrix = kernel[..., start:stop].reshape(inputs, groups, rows, -1)
            made = jnp.einsum("bnq,qgrs->bngrs", query, matrix)
            return made + bias[:, start:stop].reshape(groups, rows, -1)

        return generated(0, square, channels), generated(square, size, self.outputs)


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
