"""The language side (section 3.3): BERT split into text layers and fusion layers, its masked-word
head, and both as one language model."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxvision.errors import InputError
from jaxvision.nn.bert_layers import BertConfig, BertStack
from jaxvision.nn.initializers import KERNEL_INITIALIZERS
from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.sharding import constrain

PADDING = 0  # the id of [PAD]; BERT's vocabularies begin with it


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig:
    """vocabulary: rows of the word table.  positions: the longest text.
    text_layers: that see the text alone.  fusion_layers: that see a video as well, after them.
    """

    vocabulary: int = 30522
    positions: int = 512
    text_layers: int = 9
    fusion_layers: int = 3
    layer: BertConfig = dataclasses.field(default_factory=BertConfig)


def _table(rows: str | None):
    return logical(KERNEL_INITIALIZERS["normal_0.02"], rows, "embed")


def _norm(config: BertConfig, name: str | None = None) -> nn.LayerNorm:
    return norm(name, epsilon=config.norm_epsilon, dtype=config.dtype)


class TextEmbeddings(nn.Module):
    """norm(word + position + segment); every token is of segment 0."""

    config: TextConfig

    def setup(self):
        c = self.config
        width = c.layer.width
        self.words = self.param("words", _table("vocab"), (c.vocabulary, width))
        self.positions = self.param("positions", _table(None), (c.positions, width))
        self.segments = self.param("segments", _table(None), (2, width))
        self.norm = _norm(c.layer)
        self.dropout = nn.Dropout(c.layer.dropout)

    def __call__(self, ids: Int[Array, "b n"], deterministic: bool = True) -> Float[Array, "b n d"]:
        """InputError for texts longer than the table of positions."""
        n = ids.shape[1]
        if n > self.config.positions:
            raise InputError(
                f"task.text_length, task.answer_length: texts of {n} tokens; expected at most "
                f"language.positions={self.config.positions}"
            )
        words = self.words[ids]
        # Looking padding up teaches its row nothing; the head that is tied to the table does.
        padding = (ids == PADDING)[:, :, None]
        words = jnp.where(padding, jax.lax.stop_gradient(words), words)
        x = self.norm(words + self.positions[:n] + self.segments[0])
        return self.dropout(x, deterministic=deterministic)


class TextEncoder(nn.Module):
    """BERT whose last layers also attend to a video."""

    config: TextConfig

    def setup(self):
        c = self.config
        self.embeddings = TextEmbeddings(c)
        if c.text_layers:
            self.text = BertStack(c.layer, c.text_layers)
        if c.fusion_layers:
            self.fusion = BertStack(c.layer, c.fusion_layers)

    def encode(
        self,
        ids: Int[Array, "b n"],
        mask: Bool[Array, "b n"],
        deterministic: bool = True,
    ) -> Float[Array, "b n d"]:
        """The states after the text layers.  mask: which tokens are not padding."""
        x = self.embeddings(ids, deterministic)
        if not self.config.text_layers:
            return x
        return self.text(x, mask, deterministic=deterministic)

    def fuse(
        self,
        states: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        context: Float[Array, "c m e"] | None,
        context_mask: Bool[Array, "c m"] | None = None,
        *,
        causal: bool = False,
        deterministic: bool = True,
    ) -> Float[Array, "b n d"]:
        """The states after the fusion layers, each of which attends to `context` (a video's tokens,
        or a question's), where there is one. A context may serve several rows: see
        `BertAttention`."""
        return self.fusion(
            states, mask, context, context_mask, causal=causal, deterministic=deterministic
        )


class WordHead(nn.Module):
    """Scores of all words for every token; the word table itself is the last matrix."""

    config: TextConfig

    @nn.compact
    def __call__(
        self, states: Float[Array, "b n d"], words: Float[Array, "v d"]
    ) -> Float[Array, "b n v"]:
        """Logits in float32."""
        layer = self.config.layer
        x = linear(layer.width, ("embed", None), dtype=layer.dtype, name="dense")(states)
        x = _norm(layer, "norm")(nn.gelu(x, approximate=False))
        bias = self.param("bias", logical(zeros, "vocab"), (self.config.vocabulary,))
        words = words.astype(layer.dtype)
        logits = jnp.einsum("bnd,vd->bnv", x, words, preferred_element_type=jnp.float32)
        return constrain(logits + bias, "batch", None, "vocab")


class LanguageModel(nn.Module):
    """A text encoder and the head of its words."""

    config: TextConfig

    def setup(self):
        self.encoder = TextEncoder(self.config)
        self.head = WordHead(self.config)

    def words(self, states: Float[Array, "b n d"]) -> Float[Array, "b n v"]:
        """Logits of the word that stands, or comes next, at every token."""
        return self.head(states, self.encoder.embeddings.words)

    def __call__(
        self,
        ids: Int[Array, "b n"],
        mask: Bool[Array, "b n"],
        context: Float[Array, "c m e"] | None,
        context_mask: Bool[Array, "c m"] | None = None,
        *,
        causal: bool = False,
        deterministic: bool = True,
    ) -> Float[Array, "b n v"]:
        """Logits of words, through all layers.

        causal: a token sees those before it, which makes the model the decoder of answers; its
        text layers, of which a decoder has none, have no such mask.
        """
        states = self.encoder.encode(ids, mask, deterministic)
        states = self.encoder.fuse(
            states, mask, context, context_mask, causal=causal, deterministic=deterministic
        )
        return self.words(states)
