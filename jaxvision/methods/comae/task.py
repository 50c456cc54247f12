"""CoMAE's three stages as the engine sees them. Each starts from the one before (`config.init`).

Batches hold `rgb` and `depth` (HHA), uint8 [b, side, side, 3], and `label`, int32 [b].
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.labelled_pictures import names_from
from jaxvision.data.normalisation import IMAGENET, normalise
from jaxvision.data.picture_files import SUFFIXES
from jaxvision.data.rgbd_transforms import EvaluationPair, TrainingPair
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.methods.comae import inputs, objective, prediction
from jaxvision.methods.comae.model import (
    POOLINGS,
    MultiModalAutoencoder,
    PatchContrast,
    PatchGrid,
    SceneClassifier,
)
from jaxvision.methods.comae.parameter_groups import finetuning_group, pretraining_group
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import block_multiply_adds
from jaxvision.tasks import classification, dispatch
from jaxvision.tasks.answering import answer_to
from jaxvision.training.draws import sample_keys
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

# Shares of the draws of modality dropout: both, depth alone, RGB alone (section 3.4).
SEEN = np.array([[True, True], [False, True], [True, False]])
SEEN_SHARES = (0.5, 0.25, 0.25)


def grid_of(model: ConfigDict) -> PatchGrid:
    return PatchGrid(model.image_size, model.patch)


def block_of(model: ConfigDict, dtype: str, prefix: str = "", **more: Any) -> BlockConfig:
    return BlockConfig(
        model[f"{prefix}width"],
        model[f"{prefix}heads"],
        mlp_ratio=model.mlp_ratio,
        fused_bias=True,
        remat=model.remat,
        dtype=jnp.dtype(dtype),
        **more,
    )


class PairTask(Task):
    """What the stages share: where pairs come from and how they are cut."""

    model: Any
    input_suffixes = SUFFIXES

    @cached_property
    def grid(self) -> PatchGrid:
        return grid_of(self.config.model)

    def init(self, rng: PRNGKeyArray) -> Variables:
        picture = jnp.zeros((1, self.grid.side, self.grid.side, 3))
        return self.model.init(rng, picture, picture)

    def source(self, split: str) -> Source:
        task = self.config.task
        crop = TrainingPair(self.grid.side, tuple(task.scale), tuple(task.aspect), task.flip)
        records = inputs.records_of(self.config, "train", self.class_names)
        return Source(records, self.config.train.batch_size, crop)

    def batch_specs(self, split: str) -> BatchSpecs:
        return self.specs(self.config.train.batch_size)

    def specs(self, rows: int) -> BatchSpecs:
        picture = jax.ShapeDtypeStruct((rows, self.grid.side, self.grid.side, 3), jnp.uint8)
        label = jax.ShapeDtypeStruct((rows,), jnp.int32)
        return {"pairs": {"rgb": picture, "depth": picture, "label": label}}

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels: `rgb_input`, `depth_input`."""
        return {
            **batch,
            "rgb_input": normalise(batch["rgb"], IMAGENET),
            "depth_input": normalise(batch["depth"], IMAGENET),
        }

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return pretraining_group(path)

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        return prediction.predict_pairs(
            answer_to(self, variables),
            self.render,
            paths,
            outdir,
            side=self.grid.side,
            unit=self.config.data.depth_unit,
        )


class ContrastTask(PairTask):
    """Stage 1: cross-modal patch contrast."""

    @cached_property
    def model(self) -> PatchContrast:
        block = block_of(self.config.model, self.config.dtype)
        return PatchContrast(self.grid, block, self.config.model.depth)

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        logits = self.model.apply(
            variables,
            batch["rgb_input"],
            batch["depth_input"],
            deterministic=not train,
            rngs={"dropout": rng},
        )
        losses = objective.contrast_loss(logits)
        found = jnp.argmax(logits, axis=2) == jnp.arange(self.grid.patches)
        count = jnp.float32(len(losses))
        metrics = {
            "contrast": (jnp.sum(losses), count),
            "matched": (jnp.sum(jnp.mean(found.astype(jnp.float32), axis=1)), count),
        }
        return jnp.mean(losses), Aux(metrics)

    def flops(self, split: str) -> float:
        model, patches = self.model, self.grid.patches
        pair = 2 * (
            patches * self.grid.patch_values * model.block.width
            + block_multiply_adds(model.block, model.depth, patches)
        )
        pair += patches**2 * model.block.width
        return 3 * 2.0 * pair * self.config.train.batch_size

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`match`: the depth patch that each RGB patch is most like."""
        logits = self.model.apply(variables, batch["rgb_input"], batch["depth_input"])
        return {"match": jnp.argmax(logits, axis=2)}

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"matches": prediction.matches(batch, outputs["match"], self.grid.window)}


class AutoencoderTask(PairTask):
    """Stage 2: multi-modal masked autoencoding."""

    @cached_property
    def model(self) -> MultiModalAutoencoder:
        model, dtype = self.config.model, self.config.dtype
        return MultiModalAutoencoder(
            self.grid,
            block_of(model, dtype),
            model.depth,
            block_of(model, dtype, "decoder_"),
            model.decoder_depth,
        )

    @cached_property
    def kept(self) -> int:
        count = objective.kept_count(self.grid.patches, self.config.task.mask_ratio)
        if not 0 < count < self.grid.patches:
            raise InputError(
                f"task.mask_ratio={self.config.task.mask_ratio} keeps {count} of "
                f"{self.grid.patches} patches; expected some, not all"
            )
        return count

    def init(self, rng: PRNGKeyArray) -> Variables:
        picture = jnp.zeros((1, self.grid.side, self.grid.side, 3))
        kept = jnp.zeros((1, self.kept), jnp.int32)
        return self.model.init(rng, picture, picture, kept, kept)

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds pixels, and for both modalities the patches `kept_*` and the mask (1 = removed)."""
        keys = jax.vmap(jax.random.split)(sample_keys(rng, batch))
        prepared = dict(super().prepare(batch, rng, train))
        for place, name in enumerate(("rgb", "depth")):
            noise = jax.vmap(lambda key: jax.random.uniform(key, (self.grid.patches,)))(
                keys[:, place]
            )
            kept, mask = objective.masked_patches(noise, self.kept)
            prepared |= {f"kept_{name}": kept, f"mask_{name}": mask}
        return prepared

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        predicted = self._predicted(variables, batch, not train, rng)
        metrics, loss = {}, jnp.float32(0)
        for name, values in zip(("rgb", "depth"), predicted, strict=True):
            patches = self.grid.cut(batch[f"{name}_input"])
            target = objective.patch_targets(patches, self.config.task.normalise_target)
            metrics[name] = objective.masked_error(values, target, batch[f"mask_{name}"])
            loss += metrics[name][0] / metrics[name][1]
        return loss, Aux(metrics)

    def _predicted(
        self, variables: Variables, batch: Batch, deterministic: bool, rng: PRNGKeyArray
    ) -> tuple[Array, Array]:
        return self.model.apply(
            variables,
            *(batch[name] for name in ("rgb_input", "depth_input", "kept_rgb", "kept_depth")),
            deterministic=deterministic,
            rngs={"dropout": rng},
        )

    def flops(self, split: str) -> float:
        model, seen = self.model, 2 * (self.kept + 1)
        places = 2 * (self.grid.patches + 1)
        width, decoder = model.block.width, model.decoder_block.width
        pair: float = 2 * self.kept * self.grid.patch_values * width
        pair += block_multiply_adds(model.block, model.depth, seen)
        pair += seen * width * decoder
        pair += block_multiply_adds(model.decoder_block, model.decoder_depth, places)
        pair += 2 * self.grid.patches * decoder * self.grid.patch_values
        return 3 * 2.0 * pair * self.config.train.batch_size

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """Pictures uint8 by modality: `*_masked`, and `*_reconstructed` (removed patches predicted,
        with the mean and deviation of the true patch where those are what targets leave out)."""
        predicted = self._predicted(variables, batch, True, rng)
        answers = {}
        for name, values in zip(("rgb", "depth"), predicted, strict=True):
            patches = self.grid.cut(batch[f"{name}_input"])
            values = values.astype(jnp.float32)
            if self.config.task.normalise_target:
                mean, deviation = objective.patch_statistics(patches)
                values = values * deviation + mean
            removed = batch[f"mask_{name}"][..., None] == 1
            for kind, filling in (("masked", jnp.zeros_like(values)), ("reconstructed", values)):
                pixels = self.grid.join(jnp.where(removed, filling, patches))
                unit = pixels * IMAGENET.deviation + IMAGENET.mean
                answers[f"{name}_{kind}"] = jnp.round(jnp.clip(unit, 0, 1) * 255).astype(jnp.uint8)
        return answers

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"reconstruction": prediction.reconstructions(batch, outputs)}


class ClassificationTask(PairTask):
    """Stage 3: scene classification, modalities dropped at random in training."""

    def names_in_data(self) -> tuple[str, ...]:
        return inputs.class_names(self.config)

    def names_from(self) -> str:
        return names_from(self.config.data)

    @cached_property
    def model(self) -> SceneClassifier:
        model = self.config.model
        if model.pooling not in POOLINGS:
            raise InputError(
                f"model.pooling {model.pooling!r}: expected one of {', '.join(POOLINGS)}"
            )
        block = block_of(
            model, self.config.dtype, drop_path=model.drop_path, kernel_init="normal_0.02"
        )
        return SceneClassifier(self.grid, block, model.depth, len(self.class_names), model.pooling)

    def batch_specs(self, split: str) -> BatchSpecs:
        return self.specs(classification.rows(self.config))

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels; in training also erases and mixes the joined canvases (one
        rectangle may lie in both pictures), adds the soft `target`, and `seen`, which of (RGB,
        depth) each sample's draw group is shown."""
        if not train:
            return super().prepare(batch, rng, train)
        soften_rng, seen_rng = jax.random.split(rng)
        canvas = normalise(jnp.concatenate([batch["rgb"], batch["depth"]], axis=2), IMAGENET)
        batch = classification.soften(
            batch,
            canvas,
            soften_rng,
            classification.Softening.of(self.config),
            len(self.class_names),
            erased=-IMAGENET.mean / IMAGENET.deviation,  # black
        )
        rgb, depth = jnp.split(batch["input"], 2, axis=2)
        seen = draw_seen(seen_rng, self.config.train.draw_groups, len(rgb))
        return {**batch, "rgb_input": rgb, "depth_input": depth, "seen": seen}

    def logits(self, variables: Variables, batch: Batch, **more: Any) -> Float[Array, "b classes"]:
        seen = batch.get("seen")
        return self.model.apply(variables, batch["rgb_input"], batch["depth_input"], seen, **more)

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        logits = self.logits(variables, batch, deterministic=not train, rngs={"dropout": rng})
        return classification.loss(logits, batch["target"])

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return finetuning_group(path, self.config.model.depth, self.config.task.layer_decay)

    def flops(self, split: str) -> float:
        model, tokens = self.model, 2 * (self.grid.patches + 1)
        pair: float = 2 * self.grid.patches * self.grid.patch_values * model.block.width
        pair += block_multiply_adds(model.block, model.depth, tokens)
        pair += model.block.width * model.classes
        return 3 * 2.0 * pair * self.config.train.batch_size

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`probabilities` [b, classes]."""
        logits = self.logits(variables, batch)
        return {"probabilities": jax.nn.softmax(logits.astype(jnp.float32))}

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`both`, `rgb` and `depth`: with both modalities and with either alone."""
        if not self.config.data.validation:
            return {}
        records = inputs.records_of(self.config, "validation", self.class_names)
        rows = self.config.train.batch_size
        source = Source(records, rows, EvaluationPair(self.grid.side))

        def logits_of(shown: tuple[bool, bool]):
            def logits(variables: Variables, batch: Batch) -> Float[Array, "b classes"]:
                if all(shown):
                    return self.logits(variables, batch)
                seen = jnp.tile(jnp.array(shown), (len(batch["label"]), 1))
                return self.logits(variables, {**batch, "seen": seen})

            return logits

        protocols = {"both": (True, True), "rgb": (True, False), "depth": (False, True)}
        return {
            name: classification.evaluation(
                source, self.specs(rows), logits_of(shown), self.class_names, per_class=True
            )
            for name, shown in protocols.items()
        }

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"scenes": prediction.scenes(batch, outputs["probabilities"], self.class_names)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        return prediction.predict_scenes(
            answer_to(self, variables),
            self.class_names,
            paths,
            outdir,
            side=self.grid.side,
            unit=self.config.data.depth_unit,
        )


def draw_seen(rng: PRNGKeyArray, groups: int, rows: int) -> Bool[Array, "b 2"]:
    """Which of (RGB, depth) each sample is shown: one draw for each of `groups` equal parts."""
    choice = jax.random.choice(rng, len(SEEN), (groups,), p=jnp.array(SEEN_SHARES))
    return jnp.repeat(jnp.asarray(SEEN)[choice], rows // groups, axis=0)


TASKS: dispatch.Tasks = {
    "contrast": ContrastTask,
    "autoencoder": AutoencoderTask,
    "classification": ClassificationTask,
}


def make_task(config: ConfigDict) -> Task:
    """The stage of CoMAE that a recipe's `task.name` says."""
    return dispatch.make(TASKS, config)
