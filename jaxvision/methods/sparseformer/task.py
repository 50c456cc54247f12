"""SparseFormer's image classification as the engine sees it (section 4.1)."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.augment.rand_augment import RandAugment
from jaxvision.data.labelled_pictures import names_from
from jaxvision.data.normalisation import normalise, statistics
from jaxvision.data.picture_files import SUFFIXES, read_picture
from jaxvision.data.source import Source
from jaxvision.errors import check_choice
from jaxvision.methods.sparseformer import inputs
from jaxvision.methods.sparseformer.architecture import (
    FLAVOURS,
    Architecture,
    bootstrapped_units,
    paper_units,
)
from jaxvision.methods.sparseformer.headed import HeadedSparseFormer, build_headed
from jaxvision.methods.sparseformer.model import SparseFormer
from jaxvision.methods.sparseformer.sampling_strip import sampling_strip, samplings_of
from jaxvision.tasks import classification, dispatch, frozen_head, label_prediction
from jaxvision.tasks.answering import answer_to
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

BOOTSTRAPPED = ("augreg", "clip")


def architecture_of(model: ConfigDict, classes: int, dtype: str) -> Architecture:
    """The network that a recipe's `model` table describes."""
    check_choice("model.flavour", model.flavour, FLAVOURS)
    bootstrapped = model.flavour in BOOTSTRAPPED
    build = bootstrapped_units if bootstrapped else paper_units
    return Architecture(
        tokens=model.tokens,
        points=model.points,
        channels=model.channels,
        units=build(tuple(model.widths), model.cortex, model.repeats),
        outputs=classes,
        flavour=FLAVOURS[model.flavour],
        head_bias=model.flavour != "clip",
        class_token_before=2 if bootstrapped else 0,
        drop_path=model.drop_path,
        dtype=jnp.dtype(dtype),
    )


def without_decay(path: str) -> bool:
    """Whether a parameter is left out of weight decay: all that are vectors in the authors' code
    (norms, biases, base offsets), and the table of boxes."""
    leaf = path.rsplit("/", 1)[-1]
    return leaf in ("scale", "bias", "offset_base", "token_boxes") or leaf.endswith("_bias")


class ClassificationTask(Task):
    """Soft-target cross entropy on mixed pictures. Batches hold `picture`, uint8 [b, h, w, 3] RGB,
    and `label`, int32 [b]."""

    input_suffixes = SUFFIXES

    def names_in_data(self) -> tuple[str, ...]:
        return inputs.class_names(self.config)

    def names_from(self) -> str:
        return names_from(self.config.data)

    @property
    def headed(self) -> bool:
        """Whether only a head trains, on a frozen network."""
        return self.config.task.name == frozen_head.TASK

    @cached_property
    def model(self) -> SparseFormer | HeadedSparseFormer:
        model, classes = self.config.model, len(self.class_names)
        if self.headed:
            architecture = architecture_of(model, 0, self.config.dtype)
            return build_headed(architecture, classes, model.pooling, model.head_dropout)
        return SparseFormer(architecture_of(model, classes, self.config.dtype))

    def init(self, rng: PRNGKeyArray) -> Variables:
        size = self.config.data.size
        return self.model.init(rng, jnp.zeros((1, size, size, 3)))

    def source(self, split: str) -> Source:
        task, size = self.config.task, self.config.data.size
        policy = RandAugment.parse(task.rand_augment) if task.rand_augment else None
        return Source(
            inputs.records_of(self.config, "train", self.class_names),
            self.config.train.batch_size,
            inputs.TrainingPicture(size, tuple(task.scale), task.flip, policy),
            record_repeats=task.record_repeats,
            interleave_groups=self.config.train.draw_groups,
        )

    def batch_specs(self, split: str) -> BatchSpecs:
        return self._specs(classification.rows(self.config))

    def _specs(self, rows: int) -> BatchSpecs:
        size = self.config.data.size
        picture = jax.ShapeDtypeStruct((rows, size, size, 3), jnp.uint8)
        label = jax.ShapeDtypeStruct((rows,), jnp.int32)
        return {"pictures": {"picture": picture, "label": label}}

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`); in training also erases boxes, mixes pictures, and adds
        the soft `target`."""
        pixels = normalise(batch["picture"], statistics(self.config.data.normalisation))
        if not train:
            return {**batch, "input": pixels}
        softening = classification.Softening.of(self.config)
        return classification.soften(batch, pixels, rng, softening, len(self.class_names))

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        logits = self.model.apply(
            variables, batch["input"], deterministic=not train, rngs={"dropout": rng}
        )
        return classification.loss(logits, batch["target"])

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        if self.headed:
            return frozen_head.group(path)
        return Group(decay=0.0 if without_decay(path) else 1.0)

    def before_training(self, variables: Variables, mesh: Mesh, say: Callable[[str], None]) -> Task:
        """A head is trained on features that the network answers once."""
        if not self.headed:
            return self
        shown = inputs.shown(self.config, self.class_names)
        start = frozen_head.Start(variables, mesh, say)
        return frozen_head.on_stored_features(self, self.model, shown, start)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Any]:
        """`probabilities`, and where tokens sampled: `boxes` and `points` of every sampling."""
        answer = self.model.apply(variables, batch["input"], method="trace")
        return {
            "probabilities": jax.nn.softmax(answer.logits.astype(jnp.float32)),
            "boxes": [sampling.boxes for sampling in answer.samplings],
            "points": [sampling.points for sampling in answer.samplings],
        }

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`validation`: top-1 and top-5 on centre crops."""
        data, size = self.config.data, self.config.train.batch_size
        if data.name == "folder" and not data.validation:
            return {}
        records = inputs.records_of(self.config, "validation", self.class_names)
        crop = inputs.EvaluationPicture(data.size, data.short_side, data.resampling)
        validation = classification.evaluation(
            Source(records, size, crop),
            self._specs(size),
            lambda variables, batch: self.model.apply(variables, batch["input"]),
            self.class_names,
        )
        return {"validation": validation}

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        picture = np.asarray(batch["picture"][0])
        return {"sampling": sampling_strip(picture, samplings_of(outputs, 0))}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """The likeliest classes of each picture, and where its tokens sampled."""
        data = self.config.data
        outputs_of = answer_to(self, variables)

        def answer(path: Path) -> label_prediction.Answer:
            pixels = inputs.evaluation_picture(
                read_picture(path), data.size, data.short_side, data.resampling
            )
            outputs = outputs_of({"picture": pixels[None]})
            strip = sampling_strip(pixels, samplings_of(outputs, 0))
            return outputs["probabilities"][0], lambda label: strip

        return label_prediction.predict_files(
            answer, self.class_names, paths, outdir, suffix="_sampling"
        )


TASKS: dispatch.Tasks = {
    "classification": ClassificationTask,
    frozen_head.TASK: ClassificationTask,
}
RENAMED_KEYS = {"task.repeats": "task.record_repeats"}


def make_task(config: ConfigDict) -> Task:
    """The task of a SparseFormer recipe: `task.name` says which."""
    return dispatch.make(TASKS, config, RENAMED_KEYS)
