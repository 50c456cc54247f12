"""A classifier on the tokens of a backbone that does not train: attention-pooled, or linear."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.nn.linear import linear, logical, zeros
from jaxvision.nn.transformer import BlockConfig, Mlp, layer_norm

POOLINGS = ("attention", "mean")


class AttentionPool(nn.Module):
    """One learned query that asks all tokens, and an MLP behind it, each with its residual: the
    attentive probe of V-JEPA (2404.08471, appendix on evaluation).

    The query is the same for every sample, so keys and values of the tokens are never made: the
    query goes through the keys' map first, and the tokens' weighted mean through the values'. Of
    1,568 tokens of width 768 that is a sixtieth of the multiply-adds, and the same result.
    """

    config: BlockConfig

    @nn.compact
    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        """The query's answer, float32."""
        c = self.config
        init = nn.initializers.normal(0.02)
        split, axes = (c.heads, c.head_dim), ("embed", "heads", None)
        kernels = {
            name: self.param(name, logical(init, *axes), (c.width, *split)).astype(c.dtype)
            for name in ("key_kernel", "value_kernel")
        }
        x = layer_norm(c, "tokens_norm")(tokens)
        query = self.param("query", logical(init, "embed"), (c.width,))
        # 1. What each head looks for, as a direction among the tokens. (A bias of the keys would
        # move all of a head's scores alike, which the softmax does not see.)
        asked = linear(split, axes, dtype=c.dtype, name="query_projection")(query)
        sought = jnp.einsum("dhk,hk->dh", kernels["key_kernel"], asked * c.head_dim**-0.5)
        scores = jnp.einsum("bnd,dh->bhn", x, sought, preferred_element_type=jnp.float32)
        # 2. The tokens' mean as each head weighs them, and its value.
        weights = jax.nn.softmax(scores).astype(c.dtype)
        seen = jnp.einsum("bhn,bnd->bhd", weights, x)
        value = jnp.einsum("bhd,dhk->bhk", seen, kernels["value_kernel"])
        bias = self.param("value_bias", logical(zeros, "heads", None), split)
        value = value + bias.astype(c.dtype)
        out = linear(c.width, ("heads", None, "embed"), dtype=c.dtype, contracted=2, name="out")
        answer = query.astype(c.dtype) + out(value)
        # 3. The MLP.
        normed = layer_norm(c, "mlp_norm")(answer)
        return (answer + Mlp(c, name="mlp")(normed[:, None])[:, 0]).astype(jnp.float32)


class TokenHead(nn.Module):
    """Pooling, norm, dropout, linear map.

    pooling: "attention", or "mean" of all tokens (a linear probe).  block: width and heads of the
    attention, and the dtype.
    """

    block: BlockConfig
    classes: int
    pooling: str = "attention"
    dropout: float = 0.0

    def kept(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b m d"]:
        """What of the tokens the head is given: all, or their mean alone."""
        if self.pooling == "attention":
            return tokens
        return jnp.mean(tokens.astype(jnp.float32), axis=1, keepdims=True)

    @nn.compact
    def __call__(
        self, kept: Float[Array, "b m d"], deterministic: bool = True, features: bool = False
    ) -> Float[Array, "b classes"] | Float[Array, "b d"]:
        """Logits in float32, or what is in front of the linear map."""
        if self.pooling == "attention":
            x = AttentionPool(self.block, name="pool")(kept)
        else:
            x = kept[:, 0]
        x = layer_norm(self.block, "norm")(x)
        if features:
            return x.astype(jnp.float32)
        x = nn.Dropout(self.dropout)(x, deterministic=deterministic)
        axes = ("embed", "vocab")
        logits = linear(self.classes, axes, dtype=self.block.dtype, name="classifier")
        return logits(x).astype(jnp.float32)


def token_head(
    width: int, heads: int, classes: int, *, pooling: str, dropout: float, dtype: str
) -> TokenHead:
    """A fresh head on tokens of `width`. InputError for a pooling that is none of POOLINGS."""
    if pooling not in POOLINGS:
        raise InputError(f"model.pooling {pooling!r}: expected one of {', '.join(POOLINGS)}")
    block = BlockConfig(width, heads, kernel_init="normal_0.02", dtype=jnp.dtype(dtype))
    return TokenHead(block, classes, pooling, dropout)
