"""Training a small teacher on made-up pictures and their captions: what the demo learns from."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data.camera_clips import SUFFIXES, clip_of_file
from jaxvision.data.moving_shapes import PICTURE_CAPTIONS
from jaxvision.data.normalisation import normalise
from jaxvision.data.source import Source
from jaxvision.data.word_pieces import Tokens
from jaxvision.methods.umt import made_clips
from jaxvision.methods.umt.clip import build_teacher
from jaxvision.methods.umt.language import contrast
from jaxvision.methods.umt.language.teacher import PictureText
from jaxvision.methods.umt.language.variants import text_of
from jaxvision.tasks import classification, label_prediction
from jaxvision.training.layer_decay import decays
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables
from jaxvision.viz.video import strip


class TeacherTask(Task):
    """Contrast of pictures and captions. Batches hold `video`, uint8 [b, 1, h, w, 3] RGB, and
    `label` [b], the number of the caption among PICTURE_CAPTIONS."""

    contrasts_in_batch = True
    input_suffixes = SUFFIXES

    @cached_property
    def model(self) -> PictureText:
        config = self.config
        teacher = build_teacher(config.teacher, 1, config.dtype, normalise=False)
        return PictureText(teacher, text_of(config.language, config.dtype))

    @cached_property
    def captions(self) -> Tokens:
        """`ids` and `mask` [captions, n] of all captions."""
        pieces = made_clips.word_pieces()
        pieces.check_size(self.config.language.vocabulary)
        return pieces.encode(PICTURE_CAPTIONS, self.config.task.text_length)

    def init(self, rng: PRNGKeyArray) -> Variables:
        picture = jnp.zeros((1, 1, *self.model.teacher.grid.image_size, 3))
        ids, mask = self.captions
        return self.model.init(rng, picture, ids[:1], mask[:1])

    def source(self, split: str) -> Source:
        return made_clips.picture_source(self.config, split)

    def batch_specs(self, split: str) -> BatchSpecs:
        b = self.config.train.batch_size
        shape = (b, 1, *self.model.teacher.grid.image_size, 3)
        video, label = jax.ShapeDtypeStruct(shape, jnp.uint8), jax.ShapeDtypeStruct((b,), jnp.int32)
        return {"pictures": {"video": video, "label": label}}

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`)."""
        return {**batch, "input": normalise(batch["video"])}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        ids, mask = (jnp.asarray(rows)[batch["label"]] for rows in self.captions)
        logits = self.model.apply(
            variables, batch["input"], ids, mask, not train, rngs={"dropout": rng}
        )
        loss = contrast.contrastive_loss(logits, contrast.positives(batch["label"]))
        count = jnp.float32(len(ids))
        return loss, Aux({"contrast": (loss * count, count)})

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        if path == "temperature":
            bounds = contrast.LEAST_TEMPERATURE, contrast.MOST_TEMPERATURE
            return Group(decay=0.0, bounds=bounds)
        return Group(decay=1.0 if decays(path) else 0.0)

    def logits(self, variables: Variables, batch: Batch) -> Float[Array, "b captions"]:
        """Of every picture with every caption."""
        return self.model.apply(variables, batch["input"], *self.captions)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`probabilities` of PICTURE_CAPTIONS for each picture."""
        return {"probabilities": jax.nn.softmax(self.logits(variables, batch))}

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`captions`: which of all captions is that of a picture over a photograph never trained
        on."""
        source = made_clips.picture_source(self.config, "held_out")
        specs = self.batch_specs("held_out")
        return {"captions": classification.evaluation(source, specs, self.logits, PICTURE_CAPTIONS)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """The likeliest captions of each picture."""
        answer = jax.jit(self.predict)
        grid, seed = self.model.teacher.grid, self.config.seed

        def of_file(path: Path) -> label_prediction.Answer:
            picture = clip_of_file(path, 1, grid.image_size, seed)
            batch = self.prepare({"video": picture[None]}, jax.random.key(seed), False)
            scores = np.asarray(answer(variables, batch, jax.random.key(seed))["probabilities"])
            return scores[0], lambda caption: strip({caption: picture})

        return label_prediction.predict_files(of_file, PICTURE_CAPTIONS, paths, outdir)
