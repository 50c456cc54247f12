"""The task classifiers: start and goal observations -> logits of the task (section 3.4)."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.pdpp.blocks import torch_dense


class TaskClassifier(nn.Module):
    """The published MLP: O -> O/3 -> 4 O -> O/3, mean over the observations, -> classes.

    There is no activation between the first two layers, as published.
    """

    classes: int
    observation: int
    dtype: jnp.dtype = jnp.float32

    @property
    def hidden(self) -> tuple[int, int, int]:
        narrow = self.observation // 3
        return narrow, 4 * self.observation, narrow

    @nn.compact
    def __call__(self, observations: Float[Array, "b n o"]) -> Float[Array, "b k"]:
        """Logits, float32. observations: start and goal, raw features."""

        def dense(features: int, name: str) -> nn.Dense:
            kernel = nn.initializers.normal
            return nn.Dense(
                features,
                dtype=self.dtype,
                # He initialisation, not truncated.
                kernel_init=nn.with_logical_partitioning(
                    lambda key, shape, dtype=jnp.float32: kernel(math.sqrt(2 / shape[0]))(
                        key, shape, dtype
                    ),
                    ("embed", "mlp"),
                ),
                bias_init=nn.with_logical_partitioning(nn.initializers.zeros, ("mlp",)),
                name=name,
            )

        first, wide, last = self.hidden
        x = dense(first, "fc1")(observations)
        x = jax.nn.relu(dense(wide, "fc2")(x))
        x = jax.nn.relu(dense(last, "fc3")(x))
        return dense(self.classes, "fc4")(jnp.mean(x, axis=1)).astype(jnp.float32)


class ResidualMLP(nn.Module):
    """The alternative classifier that the published code holds and no script uses.

    Its affine token branch is shadowed upstream by a second registration, so only MLPs remain.
    """

    classes: int
    observation: int
    width: int
    expansion: int = 4
    depth: int = 2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, observations: Float[Array, "b n o"]) -> Float[Array, "b k"]:
        """Logits, float32."""
        dtype, width = self.dtype, self.width
        hidden = self.expansion * width

        def affine(x: Float[Array, "b n d"], name: str) -> Float[Array, "b n d"]:
            scale = self.param(f"{name}_scale", nn.initializers.ones, (width,))
            shift = self.param(f"{name}_shift", nn.initializers.zeros, (width,))
            return x * scale.astype(dtype) + shift.astype(dtype)

        def linear(x: Array, inputs: int, outputs: int, name: str) -> Array:
            return torch_dense(inputs, outputs, dtype, name)(x)

        x = linear(observations, self.observation, width, "embedding")
        for layer in range(self.depth):
            y = linear(affine(x, f"block_{layer}_affine"), width, hidden, f"block_{layer}_up")
            y = linear(jax.nn.gelu(y, approximate=False), hidden, width, f"block_{layer}_down")
            scale = self.param(
                f"block_{layer}_scale", nn.initializers.constant(0.1), (width,)
            ).astype(dtype)
            x = x + scale * y
        x = jnp.mean(affine(x, "affine"), axis=1)
        return linear(x, width, self.classes, "head").astype(jnp.float32)
