"""Distilling a large classifier into a small one: the student learns the teacher's probabilities.

The paper (section 4.3) distils ViT-g, tuned on Kinetics-710, into ViT-S and ViT-B that start from
their own post-pretrained weights, by matching logits on Kinetics-710. Neither the code nor the
settings were published: the temperature and the share of the labels here are ours.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data import video_list
from jaxvision.data.source import Source
from jaxvision.nn.video_transformer import VideoClassifier, build_classifier, classifier_flops
from jaxvision.ops.cross_entropy import soft_cross_entropy
from jaxvision.tasks import classification
from jaxvision.tasks.clip_classification import ClipClassification
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables


def distillation_loss(
    student: Float[Array, "b classes"], teacher: Float[Array, "b classes"], temperature: float
) -> Float[Array, " b"]:
    """Kullback-Leibler divergence of the student's probabilities from the teacher's, both softened
    by the temperature, times its square (1503.02531, section 2); float32, 0 where they agree."""
    target = jax.nn.softmax(teacher.astype(jnp.float32) / temperature)
    own = soft_cross_entropy(teacher / temperature, target)
    return temperature**2 * (soft_cross_entropy(student / temperature, target) - own)


class DistillationTask(Task):
    """Fine-tuning with a frozen teacher, its parameters under "teacher" beside the student's.

    `config.teacher` is its `model` table; `config.init` says where its weights come from
    ({"from": FILE, "to": "teacher"}). Both see the same augmented, mixed clip.
    """

    input_suffixes = video_list.SUFFIXES

    @cached_property
    def student(self) -> ClipClassification:
        return ClipClassification(self.config, trained_names=self.trained_names)

    def names_in_data(self) -> tuple[str, ...]:
        return self.student.names_in_data()

    @property
    def model(self) -> VideoClassifier:
        return self.student.model

    @cached_property
    def teacher(self) -> VideoClassifier:
        return build_classifier(self.config.teacher, self.model.classes, self.config.dtype)

    def init(self, rng: PRNGKeyArray) -> Variables:
        student_rng, teacher_rng = jax.random.split(rng)
        grid = self.teacher.grid
        clip = jnp.zeros((1, grid.frames, *grid.image_size, 3))
        student = self.student.init(student_rng)["params"]
        return {"params": {**student, "teacher": self.teacher.init(teacher_rng, clip)["params"]}}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        task = self.config.task
        answer = self.teacher.apply({"params": variables["params"]["teacher"]}, batch["input"])
        logits = self.model.apply(
            variables, batch["input"], deterministic=not train, rngs={"dropout": rng}
        )
        labels = soft_cross_entropy(logits, batch["target"])
        matched = distillation_loss(logits, jax.lax.stop_gradient(answer), task.temperature)
        loss = task.label_weight * labels + (1 - task.label_weight) * matched
        count = jnp.float32(len(loss))
        agree = jnp.argmax(logits, axis=-1) == jnp.argmax(answer, axis=-1)
        return jnp.mean(loss), Aux(
            {
                "cross_entropy": (jnp.sum(labels), count),
                "distillation": (jnp.sum(matched), count),
                "agreement": (jnp.sum(agree.astype(jnp.float32)), count),
            }
        )

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        if path.startswith("teacher/"):
            return Group(train=False)
        return self.student.parameter_group(path, shape)

    def flops(self, split: str) -> float:
        teaching = classification.rows(self.config) * classifier_flops(self.teacher)
        return self.student.flops(split) + teaching

    # All else is the student's.

    def source(self, split: str) -> Source:
        return self.student.source(split)

    def batch_specs(self, split: str) -> BatchSpecs:
        return self.student.batch_specs(split)

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        return self.student.prepare(batch, rng, train)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        return self.student.predict(variables, batch, rng)

    def evaluations(self) -> Mapping[str, Evaluation]:
        return self.student.evaluations()

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return self.student.render(batch, outputs)

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        return self.student.predict_files(variables, paths, outdir)
