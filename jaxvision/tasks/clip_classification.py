"""Classification of clips by a plain video transformer: the fine-tuning of VideoMAE and UMT. Tuning
on Kinetics-710 before another data set is this task with 710 classes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data import video_list
from jaxvision.data.normalisation import normalise
from jaxvision.data.source import Source
from jaxvision.data.video_clips import MultiViewClips
from jaxvision.nn.headed_video import HeadedVideoEncoder, build_headed
from jaxvision.nn.video_transformer import VideoClassifier, build_classifier, classifier_flops
from jaxvision.tasks import classification, frozen_head, video_classification
from jaxvision.training.layer_decay import layer_decay_group
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

# (model, variables, files, folder) -> what was written.
PredictFiles = Callable[[VideoClassifier, Variables, Sequence[Path], Path], list[Path]]


@dataclass(frozen=True)
class ClipClassification(Task):
    """Soft-target cross entropy on mixed clips. Batches hold `video`, uint8 [b, t, h, w, 3] RGB,
    and `label`, int32 [b]; evaluations also `number` (of the video) and `view`.

    write_files: what `predict_files` does instead of naming classes.
    """

    write_files: PredictFiles | None = None

    input_suffixes = video_list.SUFFIXES

    def names_in_data(self) -> tuple[str, ...]:
        return video_classification.class_names(self.config.data)

    @property
    def headed(self) -> bool:
        """Whether only a head trains, on a frozen encoder."""
        return self.config.task.name == frozen_head.TASK

    @cached_property
    def model(self) -> VideoClassifier | HeadedVideoEncoder:
        build = build_headed if self.headed else build_classifier
        return build(self.config.model, len(self.class_names), self.config.dtype)

    @property
    def size(self) -> tuple[int, int]:
        return self.model.grid.image_size

    def init(self, rng: PRNGKeyArray) -> Variables:
        return self.model.init(rng, jnp.zeros((1, self.model.grid.frames, *self.size, 3)))

    def source(self, split: str) -> Source:
        return video_classification.training_source(self.config, self.class_names, self.size)

    def batch_specs(self, split: str) -> BatchSpecs:
        return video_classification.training_specs(self.config, self.size)

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`); in training also erases boxes, mixes clips, and adds
        the soft `target`."""
        video = normalise(batch["video"])
        if not train:
            return {**batch, "input": video}
        softening = classification.Softening.of(self.config)
        return classification.soften(batch, video, rng, softening, self.model.classes)

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
        return layer_decay_group(path, self.model.depth, self.config.task.layer_decay)

    def before_training(self, variables: Variables, mesh: Mesh, say: Callable[[str], None]) -> Task:
        """A head is trained on features that the encoder answers once."""
        if not self.headed:
            return self
        shown = video_classification.shown(self.config, self.class_names, self.size)
        start = frozen_head.Start(variables, mesh, say)
        return frozen_head.on_stored_features(self, self.model, shown, start)

    def flops(self, split: str) -> float:
        # The gradients of a head are the small change.
        passes = 1.0 if self.headed else 3.0
        return passes * classification.rows(self.config) * classifier_flops(self.model)

    def logits(self, variables: Variables, batch: Batch) -> Float[Array, "b classes"]:
        """Of a batch prepared for answering."""
        return self.model.apply(variables, batch["input"])

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`probabilities` of each clip."""
        return {"probabilities": jax.nn.softmax(self.logits(variables, batch))}

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`validation`, and with `task.test` the published protocol of many views, `test`."""
        return video_classification.evaluations(
            self.config, self.class_names, self.size, self.logits
        )

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {"clips": video_classification.picture(batch, outputs, self.class_names)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """Classes of each video, over the published views; or what `write_files` makes of them."""
        if self.write_files:
            return self.write_files(self.model, variables, paths, outdir)

        @jax.jit
        def probabilities(variables: Variables, views: Array) -> Array:
            return jax.nn.softmax(self.model.apply(variables, normalise(views)))

        task = self.config.task
        views = MultiViewClips(
            video_classification.sampling(self.config), self.size[0], task.segments, task.crops
        )
        return video_classification.predict_files(
            partial(probabilities, variables), views, self.class_names, paths, outdir
        )
