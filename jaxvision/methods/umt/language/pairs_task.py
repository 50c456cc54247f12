"""Videos and captions as the engine sees them: what tuning for retrieval and stage 2 share, and the
former (sections 3.3 and 4.2)."""

from collections.abc import Mapping
from functools import cached_property

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data.caption_records import CaptionRecord, Medium, paragraphs, read_captions
from jaxvision.data.normalisation import normalise
from jaxvision.data.source import Source
from jaxvision.data.word_pieces import WordPieces
from jaxvision.errors import InputError
from jaxvision.methods.umt.language import contrast
from jaxvision.methods.umt.language.inputs import CaptionedClips, CaptionRecords
from jaxvision.methods.umt.language.losses import (
    HiddenWords,
    Pairs,
    Texts,
    draw_wrong_pairs,
    encode_pairs,
    fused_losses,
)
from jaxvision.methods.umt.language.retrieval_evaluation import retrieval_evaluation
from jaxvision.methods.umt.language.variants import text_of, vision_of
from jaxvision.methods.umt.language.video_text import VideoText
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

# One-dimensional parameters, by the last part of their path. The temperature has none, and decays.
UNDECAYED = ("bias", "scale", "query_bias", "value_bias")


class PairsTask(Task):
    """Batches hold `video`, uint8 [b, t, h, w, 3] RGB, `ids` and `mask` [b, n] of a caption, and
    `key` [b]: samples of equal key show the same video."""

    contrasts_in_batch = True

    @cached_property
    def pieces(self) -> WordPieces:
        """The user's vocabulary. InputError where the word table has not a row for each piece."""
        pieces = WordPieces(self.config.data.vocabulary)
        pieces.check_size(self.config.language.vocabulary)
        return pieces

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
        """The records of the annotation file `data.<key>`."""
        data = self.config.data
        if not data[key]:
            raise InputError(f"data.{key}: expected an annotation file (JSON or SQLite)")
        records = read_captions(data[key], data.root, medium)
        return paragraphs(records) if data.paragraphs else records

    def batch_specs(self, split: str) -> BatchSpecs:
        return {"video": self.fields(self.model.vision.grid.frames)}

    def fields(self, frames: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        """A batch of clips of so many frames."""
        b, n = self.config.train.batch_size, self.config.task.text_length
        size = self.model.vision.grid.image_size
        return {
            "video": jax.ShapeDtypeStruct((b, frames, *size, 3), jnp.uint8),
            "ids": jax.ShapeDtypeStruct((b, n), jnp.int32),
            "mask": jax.ShapeDtypeStruct((b, n), jnp.bool_),
            "key": jax.ShapeDtypeStruct((b,), jnp.int32),
        }

    def clips(self, frames: int, training: bool = True) -> CaptionedClips:
        """How a record becomes a sample."""
        return CaptionedClips(
            frames,
            self.model.vision.grid.image_size,
            self.pieces,
            self.config.task.text_length,
            training=training,
            flip=self.config.task.flip,
        )

    def source(self, split: str) -> Source | Mapping[str, Source]:
        records = CaptionRecords(self.captions(split))
        clips = self.clips(self.model.vision.grid.frames)
        return Source(records, self.config.train.batch_size, clips)

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`), where there are any."""
        return {**batch, "input": normalise(batch["video"])} if "video" in batch else batch

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
        decay = 0.0 if path.rsplit("/", 1)[-1] in UNDECAYED else 1.0
        if path == "temperature":
            bounds = contrast.LEAST_TEMPERATURE, contrast.MOST_TEMPERATURE
            return Group(decay=decay, bounds=bounds)
        return Group(decay=decay)

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


class RetrievalTask(PairsTask):
    """Tuning on captioned videos: contrast and matching."""

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`similarity` of each video with its caption, and `match`: how likely the fusion layers
        find that they belong together."""

        def run(model: VideoText) -> dict[str, Array]:
            seen = model.look(batch["input"], keep_frames=True)
            states = model.read(batch["ids"], batch["mask"])
            vision, text = model.shared(seen["pooled"], states)
            similarity = contrast.pair_similarities(vision, text[:, None])[:, 0]
            matching = model.match(model.fuse(states, batch["mask"], seen["tokens"]))
            return {"similarity": similarity, "match": jax.nn.softmax(matching)[:, 1]}

        return nn.apply(run, self.model)(variables)
