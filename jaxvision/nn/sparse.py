"""Layers on the features of sparse voxels; maps between voxels are arguments."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.nn.initializers import torch_default_bias
from jaxvision.nn.normalization import BatchNorm
from jaxvision.nn.sharding import constrain
from jaxvision.ops.sparse_voxels import KernelMap, sparse_convolution


class SparseConvolution(nn.Module):
    """Sparse convolution; kernel (volume, in, out), z fastest.

    volume 1 is a linear map of each voxel, and reads no neighbours.
    transposed: only the initial scale depends on it, U(+-1/sqrt(outputs * volume)) as torchsparse.
    """

    outputs: int
    volume: int
    transposed: bool = False
    dtype: jnp.dtype = jnp.float32
    bias: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "s i c"], neighbours: KernelMap | None = None
    ) -> Float[Array, "s o d"]:
        inputs = x.shape[-1]
        limit = 1 / math.sqrt((self.outputs if self.transposed else inputs) * self.volume)

        def init(key, shape, dtype=jnp.float32):
            return jax.random.uniform(key, shape, dtype, -limit, limit)

        kernel = self.param(
            "kernel",
            nn.with_logical_partitioning(init, (None, "embed", "mlp")),
            (self.volume, inputs, self.outputs),
        ).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.volume == 1:
            x = x @ kernel[0]
        elif neighbours is None:
            raise ValueError(f"SparseConvolution: volume {self.volume} needs neighbours")
        else:
            # Whole on every device before the loop over its places, which would gather each alone.
            kernel = constrain(kernel, None, None, None)
            x = sparse_convolution(x, kernel, neighbours)
        if not self.bias:
            return x
        bias = self.param("bias", torch_default_bias(inputs * self.volume), (self.outputs,))
        return x + bias.astype(self.dtype)


class ConvolutionNorm(nn.Module):
    """Sparse convolution and batch norm over the voxels that exist, ReLU unless `relu` is False.

    norm_groups, momentum, epsilon: see `BatchNorm`; shards are its samples.
    """

    outputs: int
    volume: int = 27
    transposed: bool = False
    relu: bool = True
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    bias: bool = False
    momentum: float = 0.1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "s i c"],
        neighbours: KernelMap | None,
        valid: Bool[Array, "s o"],
        train: bool,
    ) -> Float[Array, "s o d"]:
        """valid: which output rows are voxels."""
        convolution = SparseConvolution(
            self.outputs, self.volume, self.transposed, self.dtype, self.bias
        )
        x = convolution(x, neighbours)
        norm = BatchNorm(self.norm_groups, self.momentum, self.epsilon, self.dtype)
        x = norm(x, not train, valid)
        return jax.nn.relu(x) if self.relu else x


class SparseResidualBlock(nn.Module):
    """conv-BN-ReLU-conv-BN plus shortcut, then ReLU; a 1x1x1 shortcut where widths differ."""

    outputs: int
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "s v c"],
        neighbours: KernelMap,
        valid: Bool[Array, "s v"],
        train: bool,
    ) -> Float[Array, "s v d"]:
        def layer(name: str, volume: int, relu: bool) -> ConvolutionNorm:
            return ConvolutionNorm(
                self.outputs,
                volume,
                relu=relu,
                norm_groups=self.norm_groups,
                dtype=self.dtype,
                name=name,
            )

        y = layer("first", 27, True)(x, neighbours, valid, train)
        y = layer("second", 27, False)(y, neighbours, valid, train)
        if x.shape[-1] != self.outputs:
            x = layer("shortcut", 1, False)(x, None, valid, train)
        return jax.nn.relu(x + y)
