"""The post-norm transformer layer of BERT (1810.04805), with cross-attention where asked (BLIP's,
2201.12086), and a scanned stack of them."""

import dataclasses
import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.errors import InputError
from jaxvision.nn.linear import linear, norm
from jaxvision.nn.sharding import constrain
from jaxvision.ops.attention import attention, reference


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertConfig:
    """width: of the text.  heads: of both attentions.  hidden: of the feed-forward part."""

    width: int = 768
    heads: int = 12
    hidden: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_epsilon: float = 1e-12
    dtype: jnp.dtype = jnp.float32


class BertAttention(nn.Module):
    """norm(x + dropout(out(attention(x, context)))); the context is x itself, or another sequence
    of any width.

    One context may serve several rows of x, neighbours in the batch: its keys and values are then
    projected once for all of them (a video and the sentences that are weighed against it).
    """

    config: BertConfig
    deterministic: bool = True

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        context: Float[Array, "c m e"],
        context_mask: Bool[Array, "c m"] | None = None,
        causal: bool = False,
    ) -> Float[Array, "b n d"]:
        """context_mask: which tokens of the context are seen.  causal: token i sees 0 to i.

        InputError where the contexts do not divide the rows of x, or are not the rows of x under a
        causal mask.
        """
        c = self.config
        rows, contexts = x.shape[0], context.shape[0]
        if rows % contexts or (causal and rows != contexts):
            raise InputError(f"attention: {contexts} contexts for {rows} rows: expected a divisor")

        def heads(name: str, source: Array) -> Array:
            shape, axes = (c.heads, c.width // c.heads), ("embed", "heads", None)
            projected = linear(shape, axes, dtype=c.dtype, name=name)(source)
            return constrain(projected, "batch", None, "heads", None)

        query, key, value = heads("query", x), heads("key", context), heads("value", context)
        query = query * (c.width // c.heads) ** -0.5
        # Queries do not see each other: all rows of a context are one long row of queries.
        query = query.reshape(contexts, -1, *query.shape[2:])
        if c.attention_dropout > 0 and not self.deterministic:
            bias = reference.score_bias((query.shape[1], context.shape[1]), context_mask, causal)
            weights = reference.weights(query, key, bias).astype(c.dtype)
            weights = nn.Dropout(c.attention_dropout)(weights, deterministic=False)
            mixed = reference.weighted(weights, value)
        else:
            mixed = attention(query, key, value, key_mask=context_mask, causal=causal)
        mixed = mixed.reshape(rows, -1, *mixed.shape[2:])
        axes = ("heads", None, "embed")
        mixed = linear(c.width, axes, dtype=c.dtype, contracted=2, name="out")(mixed)
        return _added_and_normalised(self, x, mixed)


class BertFeedForward(nn.Module):
    """norm(x + dropout(down(gelu(up(x)))))."""

    config: BertConfig
    deterministic: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        c = self.config
        up = linear(c.hidden, ("embed", "mlp"), dtype=c.dtype, name="up")(x)
        up = nn.gelu(constrain(up, "batch", None, "mlp"), approximate=False)
        down = linear(c.width, ("mlp", "embed"), dtype=c.dtype, name="down")(up)
        return _added_and_normalised(self, x, down)


def _added_and_normalised(
    module: BertAttention | BertFeedForward, x: Array, branch: Array
) -> Float[Array, "b n d"]:
    """Inside `module`: its dropout, residual and norm."""
    c = module.config
    branch = nn.Dropout(c.dropout)(branch, deterministic=module.deterministic)
    return norm("norm", epsilon=c.norm_epsilon, dtype=c.dtype)(x + branch)


class BertLayer(nn.Module):
    """Self-attention, cross-attention where there is a context, feed-forward; each with its
    residual, then its norm."""

    config: BertConfig
    deterministic: bool = True

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"] | None = None,
        context: Float[Array, "c m e"] | None = None,
        context_mask: Bool[Array, "c m"] | None = None,
        causal: bool = False,
    ) -> Float[Array, "b n d"]:
        """mask: which tokens are not padding.  causal: of the self-attention alone.

        context: of a divisor of the rows of x, see `BertAttention`.
        """
        attend = functools.partial(BertAttention, self.config, self.deterministic)
        x = attend(name="self_attention")(x, x, mask, causal)
        if context is not None:
            x = attend(name="cross_attention")(x, context, context_mask)
        x = BertFeedForward(self.config, self.deterministic, name="feed_forward")(x)
        return constrain(x, "batch", None, "embed")


class BertStack(nn.Module):
    """`depth` layers as one scan: parameters are stacked on a leading "layers" axis."""

    config: BertConfig
    depth: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"] | None = None,
        context: Float[Array, "c m e"] | None = None,
        context_mask: Bool[Array, "c m"] | None = None,
        *,
        causal: bool = False,
        deterministic: bool = True,
    ) -> Float[Array, "b n d"]:
        """See `BertLayer`; every layer sees the same context."""

        def step(layer: BertLayer, x: Array, _: None) -> tuple[Array, None]:
            return layer(x, mask, context, context_mask, causal), None

        stack = nn.scan(
            step,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            length=self.depth,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        layer = BertLayer(self.config, deterministic, name="layers")
        return stack(layer, x.astype(self.config.dtype), None)[0]
