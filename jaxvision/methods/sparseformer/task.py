"""SparseFormer's image classification as the engine sees it (section 4.1)."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.augment import random_erasing
from jaxvision.data.augment.rand_augment import RandAugment
from jaxvision.data.mixing import draw_mix, mix_batch
from jaxvision.data.source import Source
from jaxvision.errors import InputError, nearest
from jaxvision.methods.sparseformer import inputs, prediction
from jaxvision.methods.sparseformer.architecture import (
    FLAVOURS,
    Architecture,
    bootstrapped_units,
    paper_units,
)
from jaxvision.methods.sparseformer.model import SparseFormer
from jaxvision.metrics.multi_view import collect_views, multi_view_accuracy
from jaxvision.ops.cross_entropy import smooth_one_hot, soft_cross_entropy
from jaxvision.training.draws import sample_keys
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

BOOTSTRAPPED = ("augreg", "clip")


def make_task(config: ConfigDict) -> Task:
    """The classification that a recipe describes."""
    return ClassificationTask(config)


def architecture_of(model: ConfigDict, classes: int, dtype: str) -> Architecture:
    """The network that a recipe's `model` table describes."""
    if model.flavour not in FLAVOURS:
        raise InputError(f"model.flavour {model.flavour!r}{nearest(model.flavour, FLAVOURS)}")
    bootstrapped = model.flavour in BOOTSTRAPPED
    build = bootstrapped_units if bootstrapped else paper_units
    return Architecture(
        model.tokens,
        model.points,
        model.channels,
        build(tuple(model.widths), model.cortex, model.repeats),
        classes,
        FLAVOURS[model.flavour],
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

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        return inputs.classes_of(self.config)

    @cached_property
    def model(self) -> SparseFormer:
        classes = len(self.class_names)
        return SparseFormer(architecture_of(self.config.model, classes, self.config.dtype))

    def init(self, rng: PRNGKeyArray) -> Variables:
        size = self.config.data.size
        return self.model.init(rng, jnp.zeros((1, size, size, 3)))

    def source(self, split: str) -> Source:
        task, size = self.config.task, self.config.data.size
        policy = RandAugment.parse(task.rand_augment) if task.rand_augment else None
        return Source(
            inputs.records_of(self.config, "train"),
            self.config.train.batch_size,
            inputs.TrainingPicture(size, tuple(task.scale), task.flip, policy),
            repeats=task.repeats,
            dealt=self.config.train.draw_groups,
        )

    def batch_specs(self, split: str) -> BatchSpecs:
        rows = self.config.train.batch_size
        group = rows // self.config.train.accumulate // self.config.train.draw_groups
        if self._mixes and group % 2:
            raise InputError(
                f"train.draw_groups={self.config.train.draw_groups} makes groups of {group} "
                "pictures; mixing pairs them, so expected an even number"
            )
        return {"pictures": self._fields(rows)}

    def _fields(self, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
        size = self.config.data.size
        return {
            "picture": jax.ShapeDtypeStruct((rows, size, size, 3), jnp.uint8),
            "label": jax.ShapeDtypeStruct((rows,), jnp.int32),
        }

    @property
    def _mixes(self) -> bool:
        return self.config.task.mixup_alpha > 0 or self.config.task.cutmix_alpha > 0

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`); in training also erases boxes, mixes pictures, and adds
        the soft `target`."""
        task, classes = self.config.task, len(self.class_names)
        pixels = inputs.normalise(batch["picture"], self.config.data.normalisation)
        if not train:
            return {**batch, "input": pixels}
        height, width = pixels.shape[1:3]
        erase_rng, mix_rng = jax.random.split(rng)
        if task.erase_probability > 0:
            keys = jax.vmap(jax.random.split)(sample_keys(erase_rng, batch))
            boxes = random_erasing.draw_boxes(
                keys[:, 0], (height, width), probability=task.erase_probability
            )
            pixels = random_erasing.erase(pixels[:, None], boxes, keys[:, 1])[:, 0]
        if not self._mixes:
            target = smooth_one_hot(batch["label"], classes, task.label_smoothing)
            return {**batch, "input": pixels, "target": target}
        mix = draw_mix(
            mix_rng,
            self.config.train.draw_groups,
            (height, width),
            mixup_alpha=task.mixup_alpha,
            cutmix_alpha=task.cutmix_alpha,
        )
        pixels, target, _ = mix_batch(
            pixels, batch["label"], mix, classes=classes, smoothing=task.label_smoothing
        )
        return {**batch, "input": pixels, "target": target}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        logits = self.model.apply(
            variables, batch["input"], deterministic=not train, rngs={"dropout": rng}
        )
        loss = soft_cross_entropy(logits, batch["target"])
        count = jnp.float32(len(loss))
        return jnp.mean(loss), Aux({"cross_entropy": (jnp.sum(loss), count)})

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return Group(decay=0.0 if without_decay(path) else 1.0)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Any]:
        """`probabilities`, and where tokens looked: `boxes` and `points` of every sampling."""
        answer = self.model.apply(variables, batch["input"], method="look")
        return {
            "probabilities": jax.nn.softmax(answer.logits.astype(jnp.float32)),
            "boxes": [seen.boxes for seen in answer.looked],
            "points": [seen.points for seen in answer.looked],
        }

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`validation`: top-1 and top-5 on centre crops."""
        data, size = self.config.data, self.config.train.batch_size
        if data.name == "folder" and not data.validation:
            return {}
        records = inputs.records_of(self.config, "validation")
        crop = inputs.EvaluationPicture(data.size, data.short_side, data.resampling)

        def outputs(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
            logits = self.model.apply(variables, batch["input"])
            number = batch["index"]
            return {
                "logits": logits,
                "label": batch["label"],
                "video": number,
                "view": jnp.zeros_like(number),
            }

        validation = Evaluation(
            Source(records, size, crop),
            {"pictures": self._fields(size)},
            outputs,
            collect_views,
            lambda total, variables: multi_view_accuracy(total),
        )
        return {"validation": validation}

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        looks = prediction.looks_of(outputs, 0)
        return {"looks": prediction.strip_of_looks(np.asarray(batch["picture"][0]), looks)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        return prediction.predict_files(self, variables, paths, outdir)
