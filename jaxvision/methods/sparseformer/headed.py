"""A SparseFormer that does not train, and the head on its tokens that does."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.sparseformer.architecture import Architecture
from jaxvision.methods.sparseformer.model import Answer, SparseFormer
from jaxvision.nn.token_head import TokenHead, token_head

HEAD_WIDTH = 64  # of attention, or what divides the tokens' width


class HeadedSparseFormer(nn.Module):
    """`encoder` without a linear map of its own, and a head on its tokens (attention), or on the
    embedding that is classified as published (mean: a linear probe). In two halves:
    `classify(keep(images))` is the whole."""

    encoder: SparseFormer
    head: TokenHead

    @property
    def architecture(self) -> Architecture:
        return self.encoder.architecture

    def keep(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b m d"]:
        """What the head is given of normalised pictures."""
        return self._kept(self.encoder.trace(images))

    def classify(
        self, kept: Float[Array, "b m d"], deterministic: bool = True
    ) -> Float[Array, "b classes"]:
        """The head's logits, float32."""
        return self.head(kept, deterministic)

    def trace(self, images: Float[Array, "b h w 3"], deterministic: bool = True) -> Answer:
        """The encoder's answer, with the head's logits."""
        answer = self.encoder.trace(images)
        return answer._replace(logits=self.head(self._kept(answer), deterministic))

    def __call__(
        self, images: Float[Array, "b h w 3"], deterministic: bool = True, features: bool = False
    ) -> Float[Array, "b classes"] | Float[Array, "b d"]:
        """Logits of normalised pictures, or what is in front of the last linear map."""
        return self.head(self.keep(images), deterministic, features)

    def _kept(self, answer: Answer) -> Float[Array, "b m d"]:
        if self.head.pooling == "attention":
            return answer.tokens
        return answer.embedding.astype(jnp.float32)[:, None]


def build_headed(
    architecture: Architecture, classes: int, pooling: str, dropout: float
) -> HeadedSparseFormer:
    """A fresh head on a network of `architecture`, whose `outputs` are 0."""
    width = architecture.units[-1].width
    heads = next(n for n in range(max(width // HEAD_WIDTH, 1), 0, -1) if width % n == 0)
    head = token_head(
        width, heads, classes, pooling=pooling, dropout=dropout, dtype=str(architecture.dtype)
    )
    return HeadedSparseFormer(SparseFormer(architecture), head)
