"""The network of videos and sentences (section 3.3): two towers, a contrast between them, and a
fusion of both that says whether a pair belongs together and which words are hidden."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.methods.umt.language.contrast import (
    LEAST_TEMPERATURE,
    MOST_TEMPERATURE,
    pair_similarities,
    part_of_gradient,
    similarities,
)
from jaxvision.methods.umt.language.text import TextConfig, TextEncoder, WordHead
from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.linear import linear

FIRST_TEMPERATURE = 0.07


def _linear(inputs: int, outputs: int, dtype: jnp.dtype) -> nn.Module:
    kernel, bias = torch_default_kernel(), torch_default_bias(inputs)
    return linear(outputs, ("embed", None), dtype=dtype, kernel=kernel, bias=bias)


class VideoText(nn.Module):
    """vision: the vision tower, with a pool norm.  language: the text tower.
    shared_width: of the space that both towers are compared in.
    word_head: whether there is a masked-word head (pretraining).
    """

    vision: AlignedEncoder
    language: TextConfig
    shared_width: int = 512
    word_head: bool = False

    def setup(self):
        c = self.language
        width, dtype = c.layer.width, c.layer.dtype
        self.text = TextEncoder(c)
        if self.word_head:
            self.words = WordHead(c)
        self.vision_projection = _linear(self.vision.block.width, self.shared_width, dtype)
        self.text_projection = _linear(width, self.shared_width, dtype)
        self.matching = _linear(width, 2, dtype)
        self.temperature = self.param(
            "temperature", nn.initializers.constant(FIRST_TEMPERATURE), ()
        )

    def look(
        self,
        video: Float[Array, "b t h w 3"],
        visible: Int[Array, "b m"] | None = None,
        deterministic: bool = True,
        keep_frames: bool = False,
    ) -> dict[str, Array]:
        """`tokens` [b, m, e], `pooled` [b, 1 or t, e], and `aligned` where there are heads: see
        `AlignedEncoder`. One frame is a picture."""
        return self.vision(video, visible, deterministic, keep_frames)

    def read(
        self, ids: Int[Array, "b n"], mask: Bool[Array, "b n"], deterministic: bool = True
    ) -> Float[Array, "b n d"]:
        """The states of texts before fusion."""
        return self.text.encode(ids, mask, deterministic)

    def shared(
        self, pooled: Float[Array, "b f e"], states: Float[Array, "c n d"]
    ) -> tuple[Float[Array, "b f s"], Float[Array, "c s"]]:
        """Videos and texts in the space they are compared in, not normalised."""
        return self.vision_projection(pooled), self.text_projection(states[:, 0])

    def similarities(
        self, pooled: Float[Array, "b f e"], states: Float[Array, "c n d"]
    ) -> Float[Array, "b c"]:
        """Cosines of all videos with all texts: what is retrieved by, without a temperature."""
        return similarities(*self.shared(pooled, states))

    def logits(
        self, pooled: Float[Array, "b f e"], states: Float[Array, "c n d"], groups: int = 1
    ) -> Float[Array, "b c"]:
        """Similarities over the temperature.

        groups: the towers and projections get 1/groups of the gradient, the temperature all of it,
        as published.
        """
        vision, text = (part_of_gradient(x, groups) for x in self.shared(pooled, states))
        return similarities(vision, text) / self.clamped_temperature()

    def clamped_temperature(self) -> Float[Array, ""]:
        """The temperature within its bounds; the gradient is that of the parameter, never cut."""
        value = self.temperature
        clamped = jnp.clip(value, LEAST_TEMPERATURE, MOST_TEMPERATURE)
        return value + jax.lax.stop_gradient(clamped - value)

    def fuse(
        self,
        states: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        tokens: Float[Array, "c m e"],
        deterministic: bool = True,
    ) -> Float[Array, "b n d"]:
        """Texts that have seen their video; a video may serve several neighbouring texts."""
        return self.text.fuse(states, mask, tokens, deterministic=deterministic)

    def match(self, fused: Float[Array, "b n d"]) -> Float[Array, "b 2"]:
        """Logits of "no" and "yes, these belong together"."""
        return self.matching(fused[:, 0])

    def guess(self, fused: Float[Array, "b n d"]) -> Float[Array, "b n v"]:
        """Logits of the word at every token."""
        return self.words(fused, self.text.embeddings.words)

    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        ids: Int[Array, "b n"],
        mask: Bool[Array, "b n"],
    ) -> dict[str, Array]:
        """`logits` [b, b] of all pairs by contrast, `matching` [b, 2] of each video and its text,
        and `words` [b, n, v] where there is a head. Touches every parameter but alignment heads."""
        seen = self.look(video)
        states = self.read(ids, mask)
        fused = self.fuse(states, mask, seen["tokens"])
        answers = {"logits": self.logits(seen["pooled"], states), "matching": self.match(fused)}
        if self.word_head:
            answers["words"] = self.guess(fused)
        return answers


class PairScores(NamedTuple):
    """similarity: cosines.  matching: logits of "no" and "yes"."""

    similarity: Float[Array, "b k"]
    matching: Float[Array, "b k 2"]


def score_pairs(
    model: VideoText,
    video: Float[Array, "b t h w 3"],
    ids: Int[Array, "b k n"],
    mask: Bool[Array, "b k n"],
) -> PairScores:
    """Each video with k texts of its own, by a bound model. Its keys and values are projected once
    for all of them."""
    b, k, n = ids.shape
    seen = model.look(video, keep_frames=True)
    flat = mask.reshape(-1, n)
    states = model.read(ids.reshape(-1, n), flat)
    vision, text = model.shared(seen["pooled"], states)
    matching = model.match(model.fuse(states, flat, seen["tokens"]))
    similarity = pair_similarities(vision, text.reshape(b, k, -1))
    return PairScores(similarity, matching.reshape(b, k, 2))
