"""VideoMAE pretraining as the engine sees it."""

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data import camera_clips
from jaxvision.data.normalisation import normalise, to_unit
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.methods.videomae import (
    inputs,
    masking,
    objective,
    reconstruction,
    temporal_features,
)
from jaxvision.methods.videomae.distillation import DistillationTask
from jaxvision.methods.videomae.filling import filling_evaluation
from jaxvision.methods.videomae.model import MaskedAutoencoder, build_autoencoder
from jaxvision.methods.videomae.probe import probe_evaluation
from jaxvision.nn.patches import patchify
from jaxvision.nn.video_transformer import take_tokens
from jaxvision.ops import token_masks
from jaxvision.tasks import dispatch, frozen_head
from jaxvision.tasks.answering import answer_to
from jaxvision.tasks.clip_classification import ClipClassification
from jaxvision.training.draws import sample_keys
from jaxvision.training.layer_decay import decays
from jaxvision.training.state import unboxed_init
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables


class PretrainingTask(Task):
    """Masked autoencoding with dual masking. Batches hold `video`, uint8 [b, t, h, w, 3] RGB."""

    input_suffixes = camera_clips.SUFFIXES

    @cached_property
    def model(self) -> MaskedAutoencoder:
        return build_autoencoder(self.config.model, self.config.dtype)

    @cached_property
    def visible_count(self) -> int:
        task = self.config.task
        count = token_masks.visible_count(
            self.model.grid.window, task.encoder_mask_ratio, task.encoder_mask
        )
        if not 0 < count < self.model.grid.tokens:
            raise InputError(
                f"task.encoder_mask_ratio={task.encoder_mask_ratio} leaves {count} of "
                f"{self.model.grid.tokens} tokens visible; expected some, not all"
            )
        return count

    def init(self, rng: PRNGKeyArray) -> Variables:
        grid = self.model.grid
        video = jnp.zeros((1, grid.frames, *grid.image_size, 3))
        visible = jnp.zeros((1, self.visible_count), jnp.int32)
        return self.model.init(rng, video, visible, visible)

    def source(self, split: str) -> Source | Mapping[str, Source]:
        return inputs.pretraining_source(self.config, split)

    @property
    def rows(self) -> int:
        """Clips a step: records times the crops of each."""
        return self.config.train.batch_size * self.config.task.crops_per_clip

    def batch_specs(self, split: str) -> BatchSpecs:
        grid = self.model.grid
        shape = (self.rows, grid.frames, *grid.image_size, 3)
        return {"clips": {"video": jax.ShapeDtypeStruct(shape, jnp.uint8)}}

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`), `visible` and `decoded` token indices, and `hidden`:
        whether the encoder did not see each decoded token.

        With task.normalise_clip also `colour` and `deviation` of the clip's visible cubes, which
        its pixels are normalised with."""
        keys = jax.vmap(jax.random.split)(sample_keys(rng, batch))
        mask = self._encoder_mask(keys[:, 0])
        decoded = self._decoded(keys[:, 1], mask)
        return {
            **batch,
            **self._normalised(batch["video"], mask),
            "visible": token_masks.kept_indices(mask, self.visible_count),
            "decoded": decoded,
            "hidden": jnp.take_along_axis(mask, decoded, axis=1),
        }

    def _normalised(self, video: Array, mask: Array) -> dict[str, Array]:
        if not self.config.task.normalise_clip:
            return {"input": normalise(video)}
        grid, pixels = self.model.grid, to_unit(video)
        cubes = patchify(pixels, grid.tubelet, grid.patch)
        colour, deviation = objective.seen_statistics(cubes, mask == 0)
        by_clip = (video.shape[0], 1, 1, 1, -1)
        normalised = (pixels - colour.reshape(by_clip)) / deviation.reshape(by_clip)
        return {"input": normalised, "colour": colour, "deviation": deviation}

    def _encoder_mask(self, keys: Array) -> Array:
        task, window = self.config.task, self.model.grid.window
        tube = task.encoder_mask == "tube"
        places = window[1] * window[2] if tube else self.model.grid.tokens
        permutation = jax.vmap(lambda key: jax.random.permutation(key, places))(keys)
        make = token_masks.tube_mask if tube else token_masks.random_mask
        return make(permutation, window, task.encoder_mask_ratio)

    def _decoded(self, keys: Array, mask: Array) -> Array:
        """Indices of the tokens to decode: a running cell, or all that the encoder did not see."""
        task, grid = self.config.task, self.model.grid
        if not task.decoder_mask_ratio:
            return token_masks.kept_indices(1 - mask, grid.tokens - self.visible_count)
        maps = masking.running_cell_maps(grid.window, task.decoder_mask_ratio)
        by_phase = np.stack([np.flatnonzero(phase == 0) for phase in maps])
        phases = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(maps)))(keys)
        return jnp.asarray(by_phase)[phases]

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        grid = self.model.grid
        prediction = self.model.apply(
            variables,
            batch["input"],
            batch["visible"],
            batch["decoded"],
            deterministic=not train,
            rngs={"dropout": rng},
        )
        task = self.config.task
        pixels = batch["input"] if task.normalise_clip else to_unit(batch["video"])
        target = objective.pixel_targets(pixels, grid.tubelet, grid.patch, task.normalise_target)
        target = take_tokens(target, batch["decoded"])
        total, weight = objective.reconstruction_loss(prediction, target, batch["hidden"])
        return total / weight, Aux({"reconstruction": (total, weight)})

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return pretraining_group(path)

    def flops(self, split: str) -> float:
        decoded = self.model.grid.tokens - self.visible_count
        if self.config.task.decoder_mask_ratio:
            decoded = round(self.model.grid.tokens * (1 - self.config.task.decoder_mask_ratio))
        forward = objective.forward_flops(self.model, self.visible_count, decoded)
        return 3.0 * self.rows * forward

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """Every token the encoder does not see, decoded: see `reconstruction.reconstruct`."""
        return reconstruction.reconstruct(
            self.model, variables, batch, self.config.task.normalise_target
        )

    def evaluations(self) -> Mapping[str, Evaluation]:
        if self.config.data.name == "camera" and self.config.task.probe:
            return {
                "filling": filling_evaluation(self.config, self.model),
                "probe": probe_evaluation(self.config, self.model, self._fresh),
            }
        return {}

    def _fresh(self) -> Variables:
        return unboxed_init(self, jax.random.key(self.config.seed))

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"reconstruction": reconstruction.PICTURES.picture(outputs, clips=2)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        answer = answer_to(self, variables)
        return reconstruction.PICTURES.predict_files(
            answer, self.model.grid, paths, outdir, self.config.seed
        )


def pretraining_group(path: str) -> Group:
    """The published decay exclusions; one learning rate for all."""
    return Group(decay=1.0 if decays(path) else 0.0)


def classification(config: ConfigDict) -> ClipClassification:
    """Fine-tuning, and features of one's own videos where `task.features` asks for them."""
    features = config.task.features
    return ClipClassification(
        config, partial(temporal_features.predict_files, features) if features else None
    )


TASKS: dispatch.Tasks = {
    "reconstruction": PretrainingTask,
    "classification": classification,
    "distillation": DistillationTask,
    frozen_head.TASK: ClipClassification,
}
RENAMED_KEYS = {"task.objective": "task.name", "task.repeats": "task.crops_per_clip"}


def make_task(config: ConfigDict) -> Task:
    """The task of a VideoMAE recipe: `task.name` says which."""
    return dispatch.make(TASKS, config, RENAMED_KEYS)
