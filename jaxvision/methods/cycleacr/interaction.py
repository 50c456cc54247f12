"""The one attention block that CycleACR is made of (section 3.2)."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.linear import linear, logical, zeros
from jaxvision.nn.sharding import constrain

NORM_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """width: of queries, keys and values.  dropout: rate, on what a block adds.  normed: whether
    the mixed values are normalised.  kernel_std: of first weights.  zero_init: a fresh block adds
    nothing."""

    width: int = 1024
    dropout: float = 0.2
    normed: bool = True
    kernel_std: float = 0.01
    zero_init: bool = True
    dtype: jnp.dtype = jnp.float32


def reduction(
    config: BlockConfig, features: int, name: str | None = None, zero: bool = False
) -> nn.Module:
    """A linear map with a bias, as all of CycleACR's; its inputs are split over the mesh."""
    kernel = zeros if zero else nn.initializers.normal(config.kernel_std)
    return linear(features, ("embed", "mlp"), dtype=config.dtype, kernel=kernel, name=name)


def joint_norm(x: Float[Array, "*b q c"], axes: tuple[int, ...]) -> Float[Array, "*b q c"]:
    """`x` less its mean over `axes`, over its deviation, without gain; float32."""
    x = x.astype(jnp.float32)
    mean = jnp.mean(x, axis=axes, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axis=axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + NORM_EPSILON)


class InteractionBlock(nn.Module):
    """x + dropout(W relu(norm(attention(x to others)))), one head of the block's whole width.

    features: of the result; where they are not x's, x passes a linear map.  moments: rows of the
    tables that are added to keys and values; 0: no tables.  joint: x's tokens are one sequence,
    normalised together (mean and variance over tokens and channels), not each alone.
    """

    config: BlockConfig
    features: int
    moments: int = 0
    joint: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*b q d"],
        others: Float[Array, "*b m o"],
        deterministic: bool = True,
    ) -> Float[Array, "*b q {self.features}"]:
        """Leading axes broadcast. Every other is seen: slots without a person too, whose features
        are 0 and whose keys and values are the biases, as published.

        others: with `moments`, of one moment after the other, as many of each.
        """
        c = self.config
        # 1. Queries, keys, values; a moment's row of a table is added to all of its slots.
        query = reduction(c, c.width, "query")(x)
        key, value = (reduction(c, c.width, name)(others) for name in ("key", "value"))
        if self.moments:
            slots = others.shape[-2] // self.moments
            key, value = (
                y + jnp.repeat(self._table(f"position_{name}"), slots, axis=0)
                for name, y in (("key", key), ("value", value))
            )
        # 2. Attention, in float32 until the values are mixed.
        scores = jnp.einsum("...qc,...mc->...qm", query, key, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * c.width**-0.5)
        self.sow("intermediates", "weights", weights)
        mixed = jnp.einsum("...qm,...mc->...qc", weights.astype(value.dtype), value)
        # 3. Norm, ReLU, and what is added.
        if c.normed:
            mixed = joint_norm(mixed, (-2, -1) if self.joint else (-1,))
        added = reduction(c, self.features, "out", zero=c.zero_init)(jax.nn.relu(mixed))
        added = nn.Dropout(c.dropout)(added, deterministic=deterministic)
        if x.shape[-1] != self.features:
            x = reduction(c, self.features, "shortcut")(x)
        return constrain(x + added, "batch", *[None] * (added.ndim - 1))

    def _table(self, name: str) -> Float[Array, "moments c"]:
        shape = (self.moments, self.config.width)
        table = self.param(name, logical(zeros, None, "embed"), shape)
        return table.astype(self.config.dtype)
