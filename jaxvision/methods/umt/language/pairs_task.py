"""Videos and captions as the engine sees them: what tuning for retrieval and stage 2 share, and the
former (sections 3.3 and 4.2)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data.caption_records import CaptionRecord, Medium, paragraphs, read_captions
from jaxvision.data.normalisation import normalise
from jaxvision.data.source import Source
from jaxvision.data.word_pieces import clean_caption
from jaxvision.methods.umt import made_clips
from jaxvision.methods.umt.language import contrast
from jaxvision.methods.umt.language.answers import multiple_choice_scores
from jaxvision.methods.umt.language.inputs import CaptionRecords
from jaxvision.methods.umt.language.losses import (
    HiddenWords,
    Pairs,
    Texts,
    draw_wrong_pairs,
    encode_pairs,
    fused_losses,
)
from jaxvision.methods.umt.language.predictions import answer_files
from jaxvision.methods.umt.language.retrieval_evaluation import retrieval_evaluation
from jaxvision.methods.umt.language.variants import text_of, vision_of
from jaxvision.methods.umt.language.video_text import PairScores, VideoText, score_pairs
from jaxvision.methods.umt.language.words_task import WordsTask, words_of
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Variables
from jaxvision.viz.video import strip


class PairsTask(WordsTask):
    """Batches hold `video`, uint8 [b, t, h, w, 3] RGB, `ids` and `mask` [b, n] of a caption, and
    `key` [b]: samples of equal key show the same video."""

    contrasts_in_batch = True

    @cached_property
    def model(self) -> VideoText:
        config = self.config
        shared = config.language.shared_width
        return VideoText(
            vision_of(config.model, shared, config.dtype),
            text_of(config.language, config.dtype),
            shared,
        )

    def init(self, rng: PRNGKeyArray) -> Variables:
        grid = self.model.vision.grid
        words = jnp.zeros((1, self.config.task.text_length), jnp.int32)
        video = jnp.zeros((1, grid.frames, *grid.image_size, 3))
        return self.model.init(rng, video, words, words == 0)

    def captions(self, key: str, medium: Medium = "video") -> tuple[CaptionRecord, ...]:
        """The records of `data.<key>`: of one annotation file, or several with commas between; or
        so many made-up ones."""
        data = self.config.data
        if self.makes_clips:
            return made_clips.caption_records(self.config, key)
        records = [
            record
            for file in self.file(key).split(",")
            for record in read_captions(file.strip(), data.root, medium)
        ]
        return paragraphs(records) if data.paragraphs else tuple(records)

    def records(self, key: str, medium: Medium = "video") -> CaptionRecords:
        """The same as the loader wants them, for batches whose groups have negatives to draw."""
        contrast.check_groups(self.config.train.batch_size, self.config.train.draw_groups)
        return CaptionRecords(
            self.captions(key, medium),
            self.config.data.many_videos_a_text,
            self.pieces,
            self.config.task.text_length,
        )

    def batch_specs(self, split: str) -> BatchSpecs:
        return {"video": self.fields(self.model.vision.grid.frames)}

    def fields(self, frames: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        """A batch of clips of so many frames."""
        batch = self.config.train.batch_size
        return {
            "video": self.video_of(frames),
            **words_of((batch,), self.config.task.text_length),
            "key": jax.ShapeDtypeStruct((batch,), jnp.int32),
        }

    def source(self, split: str) -> Source | Mapping[str, Source]:
        records = self.records(split)
        clips = self.clips(self.model.vision.grid.frames)
        return Source(records, self.config.train.batch_size, clips)

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        losses = self.pair_losses(variables, batch, rng, train)
        return self.weighed(losses, len(batch["ids"]))

    def pair_losses(
        self,
        variables: Variables,
        batch: Batch,
        rng: PRNGKeyArray,
        train: bool,
        *,
        visible: Array | None = None,
        hidden: HiddenWords | None = None,
    ) -> dict[str, Array]:
        """Every loss by name; with `visible` tokens alone also `aligned`, what the heads answer."""
        dropout, draw = jax.random.split(rng)
        texts = Texts(batch["ids"], batch["mask"])
        groups = self.config.train.draw_groups

        def run(model: VideoText) -> dict[str, Array]:
            seen = model.look(batch["input"], visible, not train, keep_frames=visible is None)
            pairs: Pairs = encode_pairs(
                model, seen, texts, batch["key"], groups=groups, deterministic=not train
            )
            losses = fused_losses(
                model,
                pairs,
                texts,
                draw_wrong_pairs(draw, pairs, groups),
                hidden,
                loss_groups=self.config.train.loss_groups,
                deterministic=not train,
            )
            kept = {"aligned": seen["aligned"]} if "aligned" in seen else {}
            return {"vtc": pairs.contrast} | losses | kept

        return nn.apply(run, self.model)(variables, rngs={"dropout": dropout})

    def weighed(self, losses: Mapping[str, Array], samples: int) -> tuple[Float[Array, ""], Aux]:
        """The sum of the losses by `task.loss_weights`, and each as a metric."""
        weights = self.config.task.loss_weights
        total = sum((weights[name] * loss for name, loss in losses.items()), jnp.float32(0))
        count = jnp.float32(samples)
        return total, Aux({name: (loss * count, count) for name, loss in losses.items()})

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        group = super().parameter_group(path, shape)
        if path == "temperature":
            bounds = contrast.LEAST_TEMPERATURE, contrast.MOST_TEMPERATURE
            return group._replace(bounds=bounds)
        return group

    def evaluations(self) -> Mapping[str, Evaluation]:
        if not self.config.data.validation:
            return {}
        clips = self.clips(self.config.task.test_frames, training=False)
        return {
            "retrieval": retrieval_evaluation(
                self.model,
                self.captions("validation"),
                clips,
                batch_size=self.config.train.batch_size,
                count=self.config.task.reranked,
                many_videos_a_text=self.config.data.many_videos_a_text,
            )
        }

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`similarity` of each video with its caption, and `match`: how likely the fusion layers
        find that they belong together."""
        words = batch["ids"][:, None], batch["mask"][:, None]
        pairs, _ = self.scores(variables, batch["input"], *words)
        match = jax.nn.softmax(pairs.matching[:, 0].astype(jnp.float32))[:, 1]
        return {"similarity": pairs.similarity[:, 0], "match": match}

    def scores(
        self, variables: Variables, video: Array, ids: Array, mask: Array
    ) -> tuple[PairScores, Float[Array, ""]]:
        """Of each video with texts of its own (`score_pairs`); and the temperature."""

        def run(model: VideoText) -> tuple[PairScores, Float[Array, ""]]:
            return score_pairs(model, video, ids, mask), model.clamped_temperature()

        return nn.apply(run, self.model)(variables)

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """Each video with the sentences it is asked about: `similarity`, `match`, and `choice`, its
        score as one of them (section 4.3); videos ranked by the sentences of `data.query`. See
        `predictions.answer_files`."""
        clips = self.clips(self.config.task.test_frames, training=False)
        score = jax.jit(lambda variables, video, *words: self.scores(variables, video, *words))
        told = jax.jit(_told)

        def answer(frames: np.ndarray, sentences: Sequence[str]) -> list[dict[str, float]]:
            # Few shapes are compiled: rows behind the last sentence are empty.
            count = len(sentences)
            cleaned = [clean_caption(text) for text in sentences] + [""] * (-count % 4)
            ids, mask = clips.pieces.encode(cleaned, clips.length)
            video = normalise(jnp.asarray(frames)[None])
            pairs, temperature = score(variables, video, ids[None], mask[None])
            pairs = jax.tree.map(lambda x: np.asarray(x)[:, :count], pairs)
            names, scores = ("similarity", "match", "choice"), told(pairs, temperature)
            columns = [np.asarray(column[0], float).tolist() for column in scores]
            return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

        return answer_files(
            paths,
            outdir,
            self.config.data.query,
            lambda path: clips.clip(path, np.random.default_rng(0)),
            answer,
            ranked=self.config.task.reranked,
        )

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The first clips, each row named by its caption's match."""
        rows = [
            strip({f"match {match:.2f}": np.asarray(clip)})
            for clip, match in zip(batch["video"][:4], outputs["match"][:4], strict=True)
        ]
        return {"clips": np.concatenate(rows)}


def _told(pairs: PairScores, temperature: Float[Array, ""]) -> tuple[Float[Array, "b n"], ...]:
    """Similarity, match and choice of each video's texts: one program for a count of texts."""
    _, chosen = multiple_choice_scores(pairs.similarity, pairs.matching, temperature)
    match = jax.nn.softmax(pairs.matching.astype(jnp.float32))[..., 1]
    return pairs.similarity, match, chosen


class RetrievalTask(PairsTask):
    """Tuning on captioned videos: contrast and matching."""
