"""Stage 2 as the engine sees it: pretraining on captioned videos and pictures (section 3.3).

The vision tower sees the tokens that the frozen teacher looks at, and answers as the teacher does;
the words learn contrast, matching and what hides behind [MASK].
"""

from collections.abc import Mapping
from functools import cached_property

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data.loader import permuted_bucket
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.methods.umt.alignment import Guidance, guide, visible_places
from jaxvision.methods.umt.clip import ClipVision, build_teacher
from jaxvision.methods.umt.language.inputs import CaptionRecords
from jaxvision.methods.umt.language.losses import HiddenWords
from jaxvision.methods.umt.language.pairs_task import PairsTask
from jaxvision.methods.umt.language.variants import text_of, vision_of
from jaxvision.methods.umt.language.video_text import VideoText
from jaxvision.methods.umt.language.word_masking import (
    WordDraws,
    WordMasking,
    draw_words,
    mask_words,
)
from jaxvision.methods.umt.objective import alignment_loss
from jaxvision.training.draws import sample_keys
from jaxvision.training.task import Aux, Batch, BatchSpecs, Group, Variables

TEACHER = "teacher"


class Stage2Task(PairsTask):
    """Steps alternate between videos and pictures, as one permutation of all their batches. The
    teacher's parameters stand under "teacher" beside the network's."""

    @cached_property
    def model(self) -> VideoText:
        config = self.config
        shared = config.language.shared_width
        returned = config.teacher.returned_layers
        vision = vision_of(
            config.model, config.teacher.output_width, config.dtype, returned=returned
        )
        return VideoText(vision, text_of(config.language, config.dtype), shared, word_head=True)

    def teacher(self, frames: int) -> ClipVision:
        """The teacher of clips of so many frames."""
        config = self.config
        teacher = build_teacher(config.teacher, frames, config.dtype, normalise=False)
        mine, its = self.model.vision.grid.window[1:], teacher.grid.window[1:]
        if mine != its:
            raise InputError(
                f"teacher.image_size by teacher.patch: {its} tokens of a frame; expected those of "
                f"the vision tower, {mine}"
            )
        return teacher

    @cached_property
    def sources(self) -> dict[str, CaptionRecords]:
        """The records of each medium that has annotations: buckets by name."""
        data = self.config.data
        media: dict[str, CaptionRecords] = {}
        if data.train:
            media["video"] = self.records("train")
        if data.pictures:
            media["image"] = self.records("pictures", "image")
        if not self.has_annotations:
            raise InputError("data.train, data.pictures: expected an annotation file of either")
        return media

    @property
    def has_annotations(self) -> bool:
        return bool(self.config.data.train or self.config.data.pictures)

    def frames(self, bucket: str) -> int:
        return self.model.vision.grid.frames if bucket == "video" else 1

    def bucket(self, step: int) -> str:
        size = self.config.train.batch_size
        batches = {name: len(records) // size for name, records in self.sources.items()}
        for name, count in batches.items():
            if not count:
                raise InputError(f"{len(self.sources[name])} {name} records for batches of {size}")
        return permuted_bucket(step, batches, self.config.seed)

    def init(self, rng: PRNGKeyArray) -> Variables:
        first, second = jax.random.split(rng)
        mine = super().init(first)["params"]
        teacher = self.teacher(1)
        video = jnp.zeros((1, 1, *teacher.grid.image_size, 3))
        its = teacher.init(second, video)["params"]
        return {"params": {**mine, TEACHER: its}}

    def batch_specs(self, split: str) -> BatchSpecs:
        """Of both media where no annotations are named, as for a plan."""
        media = self.sources if self.has_annotations else ("video", "image")
        return {name: self.fields(self.frames(name)) for name in media}

    def source(self, split: str) -> Mapping[str, Source]:
        return {
            name: Source(records, self.config.train.batch_size, self.clips(self.frames(name)))
            for name, records in self.sources.items()
        }

    @cached_property
    def masking(self) -> WordMasking:
        """By the user's vocabulary; by BERT's ids where no annotations are named, as for a plan."""
        rate = self.config.task.word_mask_ratio
        if not self.has_annotations:
            return WordMasking(rate=rate, vocabulary=self.config.language.vocabulary)
        pieces = self.pieces
        return WordMasking(
            rate=rate,
            padding=pieces.id("[PAD]"),
            begin=pieces.id("[CLS]"),
            mask=pieces.id("[MASK]"),
            vocabulary=pieces.size,
        )

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds `input`, the Gumbel draws of the mask (`noise` [b, t, places]), and hidden words
        (`hidden_ids`, `hidden_labels`)."""
        batch = super().prepare(batch, rng, train)
        if "video" not in batch or "ids" not in batch:
            return batch
        keys = jax.vmap(jax.random.split)(sample_keys(rng, batch))
        frames, places = batch["video"].shape[1], self.teacher(1).places
        noise = jax.vmap(lambda key: jax.random.gumbel(key, (frames, places)))(keys[:, 0])
        rule, length = self.masking, batch["ids"].shape[1]
        drawn = jax.vmap(lambda key: draw_words(key, (length,), rule.vocabulary))(keys[:, 1])
        ids, labels = mask_words(batch["ids"], rule, WordDraws(*drawn))
        return {**batch, "noise": noise, "hidden_ids": ids, "hidden_labels": labels}

    def guidance(self, variables: Variables, batch: Batch) -> Guidance:
        """What the teacher says of a prepared batch."""
        frames = batch["video"].shape[1]
        teacher = self.teacher(frames)
        ratio = f"{'video' if frames > 1 else 'image'}_mask_ratio"
        return guide(
            teacher,
            {"params": variables["params"][TEACHER]},
            batch["input"],
            batch["noise"].reshape(-1, teacher.places),
            visible_places(teacher.places, self.config.task[ratio], f"task.{ratio}"),
        )

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        guidance = jax.lax.stop_gradient(self.guidance(variables, batch))
        losses = self.pair_losses(
            variables,
            batch,
            rng,
            train,
            visible=guidance.visible,
            hidden=HiddenWords(batch["hidden_ids"], batch["hidden_labels"]),
        )
        aligned = losses.pop("aligned")
        losses["uta"] = jnp.mean(alignment_loss(aligned, guidance.targets, "l2", normalise=True))
        return self.weighed(losses, len(batch["ids"]))

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        if path.startswith(f"{TEACHER}/"):
            return Group(train=False)
        return super().parameter_group(path, shape)
