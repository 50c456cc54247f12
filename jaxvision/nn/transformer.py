"""The pre-norm transformer block of the vision transformers, and a scanned stack of them."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxvision.errors import InputError
from jaxvision.nn.initializers import KERNEL_INITIALIZERS
from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.sharding import constrain
from jaxvision.ops.attention import attention, reference

# What `jax.checkpoint` keeps of a block for the backward pass.
REMAT_POLICIES = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": functools.partial(nn.gelu, approximate=False),
    "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),  # CLIP's
}
# The reference's constant: not ln(100) exactly. A head clamped here has no gradient.
MAX_COSINE_SCALE = 4.6052


@dataclasses.dataclass(frozen=True)
class BlockConfig:
    """Every switch of a block.

    width: embedding dimension.  heads: attention heads.  mlp_ratio: hidden / width (truncated).
    qkv_bias: learned biases on query and value.  fused_bias: one of query, key and value instead,
        as timm's and CLIP's files have it. The key's part moves no softmax.
    activation: of the MLP, a key of `ACTIVATIONS`.
    layer_scale: initial value of the per-channel residual scales; 0 means no such parameters.
    cosine_attention: scores are cosines (Swin V2, section 3.2) with a learned scale per head.
    drop_path: the last block's rate; block i of L has linspace(0, drop_path, L)[i].
    kernel_init: a key of `KERNEL_INITIALIZERS`.
    remat: a key of `REMAT_POLICIES`.
    """

    width: int
    heads: int
    _: dataclasses.KW_ONLY
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    fused_bias: bool = False
    activation: str = "gelu"
    layer_scale: float = 0.0
    cosine_attention: bool = False
    norm_epsilon: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    kernel_init: str = "xavier_uniform"
    remat: str = "none"
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self):
        if self.heads < 1 or self.width < 1 or self.width % self.heads:
            raise InputError(
                f"width {self.width} over {self.heads} attention heads; expected heads that divide "
                "the width"
            )

    @property
    def hidden(self) -> int:
        return int(self.width * self.mlp_ratio)

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


def layer_norm(config: BlockConfig, name: str) -> nn.LayerNorm:
    """LayerNorm with float32 statistics and the block's compute dtype."""
    return norm(name, epsilon=config.norm_epsilon, dtype=config.dtype)


def _linear(config: BlockConfig, features: int | tuple, axes: tuple, **more: Any) -> nn.Module:
    kernel = KERNEL_INITIALIZERS[config.kernel_init]
    return linear(features, axes, dtype=config.dtype, kernel=kernel, **more)


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection, stored (embed, 3, heads, dim)."""

    config: BlockConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        deterministic: bool = True,
        rows: Int[Array, "b k"] | None = None,
        key_mask: Bool[Array, "b n"] | None = None,
        return_weights: bool = False,
    ) -> tuple[Float[Array, "b k d"], Float[Array, "b h k n"] | None]:
        """The result; with `return_weights` also the weights before dropout, float32.

        rows: the tokens that ask; None means all n.  key_mask: the tokens that are seen.
        """
        c = self.config
        shape, axes = (3, c.heads, c.head_dim), ("embed", None, "heads", None)
        qkv = _linear(c, shape, axes, bias=zeros if c.fused_bias else None, name="qkv")(x)
        query, key, value = (
            constrain(y, "batch", None, "heads", None) for y in jnp.moveaxis(qkv, -3, 0)
        )
        if rows is not None:
            query = _take(query, rows)

        def bias(name: str) -> Array:
            shape = (c.heads, c.head_dim)
            return self.param(name, logical(zeros, "heads", None), shape).astype(c.dtype)

        if c.qkv_bias and not c.fused_bias:
            query, value = query + bias("query_bias"), value + bias("value_bias")
        if c.cosine_attention:
            init = logical(nn.initializers.constant(math.log(10)), "heads")
            scale = self.param("scale", init, (c.heads,))
            query, key = (_unit(y) for y in (query, key))
            query = query * jnp.exp(jnp.minimum(scale, MAX_COSINE_SCALE))[:, None]
        else:
            query = query * c.head_dim**-0.5
        weights = None
        dropped = c.attention_dropout > 0 and not deterministic
        if c.cosine_attention or dropped or return_weights:
            # Cosines stay float32: their scale multiplies them by up to 100.
            scores = reference.score_bias((query.shape[1], key.shape[1]), key_mask)
            weights = reference.weights(query, key, scores)
            dropout = nn.Dropout(c.attention_dropout)
            kept = dropout(weights.astype(c.dtype), deterministic=deterministic)
            mixed = reference.weighted(kept, value.astype(c.dtype))
        else:
            mixed = attention(*(y.astype(c.dtype) for y in (query, key, value)), key_mask=key_mask)
        out = _linear(c, c.width, ("heads", None, "embed"), contracted=2, name="out")
        mixed = out(mixed)
        mixed = nn.Dropout(c.dropout)(mixed, deterministic=deterministic)
        return mixed, weights if return_weights else None


def _take(x: Float[Array, "b n *d"], rows: Int[Array, "b k"]) -> Float[Array, "b k *d"]:
    return jnp.take_along_axis(x, rows.reshape(*rows.shape, *(1,) * (x.ndim - 2)), axis=1)


def _unit(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    x = x.astype(jnp.float32)
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


class Mlp(nn.Module):
    """Linear, activation, linear, dropout."""

    config: BlockConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], deterministic: bool = True
    ) -> Float[Array, "b n d"]:
        c = self.config
        x = _linear(c, c.hidden, ("embed", "mlp"), name="up")(x)
        x = ACTIVATIONS[c.activation](constrain(x, "batch", None, "mlp"))
        x = _linear(c, c.width, ("mlp", "embed"), name="down")(x)
        return nn.Dropout(c.dropout)(x, deterministic=deterministic)


class Block(nn.Module):
    """x + drop_path(scale * attention(norm(x))), then the same with the MLP.

    return_weights: the second result is the attention weights [b, h, k, n] in float32, not None.
    """

    config: BlockConfig
    deterministic: bool = True
    return_weights: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        drop_path: Float[Array, ""],
        rows: Int[Array, "b k"] | None = None,
        key_mask: Bool[Array, "b n"] | None = None,
    ) -> tuple[Float[Array, "b k d"], Float[Array, "b h k n"] | None]:
        """rows: the tokens to answer for, which see all n; None means all of them. In a last block
        this spares the others' scores and MLP.  key_mask: the tokens that are seen."""
        c = self.config
        branch, weights = Attention(c, name="attention")(
            layer_norm(c, "attention_norm")(x),
            self.deterministic,
            rows,
            key_mask,
            self.return_weights,
        )
        if rows is not None:
            x = _take(x, rows)
        x = x + self._residual(branch, "attention_scale", drop_path)
        branch = Mlp(c, name="mlp")(layer_norm(c, "mlp_norm")(x), self.deterministic)
        x = x + self._residual(branch, "mlp_scale", drop_path)
        return constrain(x, "batch", None, "embed"), weights

    def _residual(self, branch: Array, name: str, drop_path: Float[Array, ""]) -> Array:
        c = self.config
        if c.layer_scale > 0:
            init = logical(nn.initializers.constant(c.layer_scale), "embed")
            branch = branch * self.param(name, init, (c.width,)).astype(c.dtype)
        if self.deterministic or c.drop_path == 0:
            return branch
        return drop_branches(branch, drop_path, self.make_rng("dropout")).astype(c.dtype)


def drop_samples(
    branch: Float[Array, "b *d"], draw: Float[Array, "b *ones"], rate: Float[Array, ""] | float
) -> Float[Array, "b *d"]:
    """Stochastic depth: samples whose uniform draw is below `rate` are zero, the rest divided by
    1 - rate."""
    keep = 1 - rate
    return branch * (jnp.floor(keep + draw) / keep).astype(branch.dtype)


def drop_branches(
    branch: Float[Array, "b *d"], rate: Float[Array, ""] | float, rng: PRNGKeyArray
) -> Float[Array, "b *d"]:
    """`drop_samples` with a draw for each sample (1603.09382)."""
    draw = jax.random.uniform(rng, (branch.shape[0],) + (1,) * (branch.ndim - 1))
    return drop_samples(branch, draw, jnp.asarray(rate, jnp.float32))


def drop_path_rates(rate: float, depth: int) -> np.ndarray:
    """Stochastic depth of each of `depth` blocks: linear from 0 to `rate` (1603.09382, eq. 4)."""
    return np.linspace(0, rate, depth)


class TransformerStack(nn.Module):
    """`depth` blocks as one scan: parameters are stacked on a leading "layers" axis."""

    config: BlockConfig
    depth: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        deterministic: bool = True,
        last_outputs: int = 0,
        key_mask: Bool[Array, "b n"] | None = None,
    ) -> Float[Array, "*k b n d"]:
        """The last block's output.

        key_mask: the tokens that every block's attention sees.
        last_outputs: K answers the outputs of the last K blocks, [K, b, n, d] in their order. The
            scan carries these K alone; InputError where there are fewer blocks.
        """
        if not 0 <= last_outputs <= self.depth:
            raise InputError(
                f"last_outputs {last_outputs}: expected 0 to {self.depth}, the number of blocks"
            )
        c = self.config
        block = Block
        if c.remat != "none":
            block = nn.remat(Block, policy=REMAT_POLICIES[c.remat], prevent_cse=False)

        def step(block: Block, carry: tuple, inputs: tuple) -> tuple[tuple, None]:
            x, kept = carry
            rate, place = inputs
            x, _ = block(x, rate, None, key_mask)
            if last_outputs:
                kept = jax.lax.dynamic_update_index_in_dim(kept, x, place, axis=0)
            return (x, kept), None

        stack = nn.scan(
            step,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            length=self.depth,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        rates = jnp.asarray(drop_path_rates(c.drop_path, self.depth), jnp.float32)
        kept = places = None
        if last_outputs:
            kept = jnp.zeros((last_outputs, *x.shape), x.dtype)
            # Earlier blocks write to place 0 too; the first of the last K overwrites them.
            places = jnp.maximum(jnp.arange(self.depth) - (self.depth - last_outputs), 0)
        (x, kept), _ = stack(block(c, deterministic, name="blocks"), (x, kept), (rates, places))
        return kept if last_outputs else x


def block_parameters(stack: PyTree, index: int | slice) -> PyTree:
    """Parameters of one block, or of a run of blocks, of those of a `TransformerStack`.

    For `Block(config).apply({"params": block_parameters(stack, -1)}, x, 0.0, rows)`, or with a
    slice for a shorter `TransformerStack`, as {"blocks": ...}.
    """
    return jax.tree.map(lambda leaf: leaf[index], nn.unbox(stack["blocks"]))
