"""The network of questions about a video (section 4.3): the text tower reads the question while it
looks at the video, a causal decoder writes the answer."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.methods.umt.language.answers import answer_losses, likely_candidates, ranked_answers
from jaxvision.methods.umt.language.text import LanguageModel, TextConfig, TextEncoder


class VideoQuestions(nn.Module):
    """vision: the vision tower, without a pool norm.  language: of questions; the decoder of
    answers has as many layers as it has fusion layers, each of which looks at the question."""

    vision: AlignedEncoder
    language: TextConfig

    def setup(self):
        c = self.language
        self.question = TextEncoder(c)
        self.answer = LanguageModel(answer_config(c))

    def ask(
        self,
        video: Float[Array, "b t h w 3"],
        ids: Int[Array, "b n"],
        mask: Bool[Array, "b n"],
        deterministic: bool = True,
    ) -> Float[Array, "b n d"]:
        """The states of questions that have seen their video."""
        tokens = self.vision.layers(video, None, deterministic)[-1]
        states = self.question.encode(ids, mask, deterministic)
        return self.question.fuse(states, mask, tokens, deterministic=deterministic)

    def write(
        self,
        ids: Int[Array, "a l"],
        mask: Bool[Array, "a l"],
        asked: Float[Array, "b n d"],
        question_mask: Bool[Array, "b n"],
        deterministic: bool = True,
    ) -> Float[Array, "a l v"]:
        """Logits of the next word at every token of answers.  asked: of `ask`; each question serves
        a / b neighbouring answers."""
        return self.answer(
            ids, mask, asked, question_mask, causal=True, deterministic=deterministic
        )

    def losses(
        self,
        ids: Int[Array, "b k l"],
        mask: Bool[Array, "b k l"],
        asked: Float[Array, "b n d"],
        question_mask: Bool[Array, "b n"],
        deterministic: bool = True,
    ) -> Float[Array, "b k"]:
        """The summed cross entropy of each question's k answers."""
        b, k, length = ids.shape
        ids, mask = ids.reshape(-1, length), mask.reshape(-1, length)
        logits = self.write(ids, mask, asked, question_mask, deterministic)
        return answer_losses(logits, ids, mask).reshape(b, k)

    def rank(
        self,
        candidates: Int[Array, "a l"],
        candidate_mask: Bool[Array, "a l"],
        asked: Float[Array, "b n d"],
        question_mask: Bool[Array, "b n"],
        count: int,
    ) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
        """(probabilities, numbers) of the `count` candidates with the likeliest first words, best
        first.  candidates: ids from [CLS] on.  InputError for fewer candidates than that."""
        b = len(asked)
        # 1. The first word that the decoder would write.
        start = jnp.broadcast_to(candidates[:1, :1], (b, 1))
        first = self.write(start, jnp.ones((b, 1), bool), asked, question_mask)[:, 0]
        likely, numbers = likely_candidates(first, candidates, count)
        # 2. How likely it finds the whole of those that begin with likely words.
        losses = self.losses(candidates[numbers], candidate_mask[numbers], asked, question_mask)
        return ranked_answers(likely, losses, numbers)

    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        question: tuple[Int[Array, "b n"], Bool[Array, "b n"]],
        answers: tuple[Int[Array, "b k l"], Bool[Array, "b k l"]],
        weights: Float[Array, "b k"],
        deterministic: bool = True,
    ) -> Float[Array, ""]:
        """The loss: weighted sums over a question's answers, averaged over questions.

        question, answers: ids and masks.  weights: 0 where a question has fewer answers.
        """
        asked = self.ask(video, *question, deterministic)
        losses = self.losses(*answers, asked, question[1], deterministic)
        return jnp.sum(weights * losses) / len(video)


def answer_config(language: TextConfig) -> TextConfig:
    """The decoder of answers: the fusion layers alone."""
    return TextConfig(
        vocabulary=language.vocabulary,
        positions=language.positions,
        text_layers=0,
        fusion_layers=language.fusion_layers,
        layer=language.layer,
    )
