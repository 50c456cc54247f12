"""The classifier that PDPP's published code holds and no script of it uses: for its golden case."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.pdpp import weights
from jaxvision.methods.pdpp.blocks import torch_dense
from jaxvision.weights.layout import reshape
from jaxvision.weights.mapping import Entry


class ResidualMLP(nn.Module):
    """Residual MLPs over the observations.

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


def residual_mlp_entries(model: ResidualMLP, path: str = "params") -> list[Entry]:
    """Every tensor of the alternative classifier, in its order."""
    width, hidden = model.width, model.expansion * model.width
    row = reshape((1, 1, width), (width,))

    def vector(name: str, ours: str) -> Entry:
        return Entry(name, (1, 1, width), f"{path}/{ours}", row)

    entries = list(
        weights.linear_entries("embedding", f"{path}/embedding", model.observation, width)
    )
    for layer in range(model.depth):
        name, ours = f"mlp.fc1_{layer}", f"block_{layer}"
        entries += [
            vector(f"{name}.scale", f"{ours}_scale"),
            vector(f"{name}.affine.alpha", f"{ours}_affine_scale"),
            vector(f"{name}.affine.beta", f"{ours}_affine_shift"),
            *weights.linear_entries(f"{name}.fn.0", f"{path}/{ours}_up", width, hidden),
            *weights.linear_entries(f"{name}.fn.2", f"{path}/{ours}_down", hidden, width),
        ]
    entries += [vector("aff.alpha", "affine_scale"), vector("aff.beta", "affine_shift")]
    return [*entries, *weights.linear_entries("classifier", f"{path}/head", width, model.classes)]
