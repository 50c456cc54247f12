"""LinK segmentation as the engine sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxvision.data.labels import naming
from jaxvision.data.lidar import own_scans
from jaxvision.data.lidar.classes import Classes
from jaxvision.data.lidar.scan_format import ScanFormat
from jaxvision.data.source import Source
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.link.levels import LevelCapacities, overflow
from jaxvision.methods.link.segmentation import inputs, objective, prediction
from jaxvision.methods.link.segmentation.evaluation import point_confusion, scan_evaluation
from jaxvision.methods.link.segmentation.network import NETWORKS, SegmentationNetwork
from jaxvision.methods.link.segmentation.pyramid import Level, build_pyramid
from jaxvision.ops.sparse_voxels import Sites, devoxelise_nearest
from jaxvision.stores.stored_path import path_to
from jaxvision.training.loss_groups import mean_over_groups
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Task, Variables
from jaxvision.viz.legend import side_by_side, with_legend
from jaxvision.viz.points import birds_eye, class_colours


@dataclass(frozen=True)
class SegmentationTask(Task):
    """One scan a shard. Parameters: the network's; collection batch_stats: running statistics."""

    input_suffixes = own_scans.SUFFIXES

    def __post_init__(self):
        """InputError for settings that do not go together."""
        model, task = self.config.model, self.config.task
        check_choice("model.network", model.network, NETWORKS)
        if model.width % model.groups or (model.form == "cos_x" and model.groups != 1):
            raise InputError(
                f"model.groups {model.groups}: expected a divisor of the width {model.width}, and "
                "1 with form cos_x"
            )
        if task.views < 1 or (task.views > 1 and not task.augmented_views):
            raise InputError(
                f"task.views {task.views}: several views need task.augmented_views=True"
            )

    def names_in_data(self) -> tuple[str, ...]:
        return inputs.class_names(self.config)

    def names_from(self) -> str:
        return naming(self.config.data, "classes", "name")

    @cached_property
    def classes(self) -> Classes:
        """As the weights were trained with them."""
        return inputs.classes_of(self.config).in_order(self.class_names)

    @cached_property
    def model(self) -> SegmentationNetwork:
        model = self.config.model
        return SegmentationNetwork(
            network=model.network,
            classes=len(self.classes),
            width=model.width,
            form=model.form,
            groups=model.groups,
            norm_groups=self.config.train.norm_groups,
            dtype=jnp.dtype(self.config.dtype),
        )

    @cached_property
    def capacities(self) -> LevelCapacities:
        model = self.config.model
        return LevelCapacities(
            None if model.network == "minkunet" else model.edge,
            model.neighbours,
            tuple(model.level_share),
            model.block_share,
        )

    def init(self, rng: PRNGKeyArray) -> Variables:
        ones = jnp.ones((self.config.train.norm_groups,), jnp.int32)
        levels = self.levels(jnp.zeros((len(ones), 8, 3), jnp.int32), ones)
        return self.model.init(rng, jnp.zeros((len(ones), 8, inputs.FEATURES)), levels)

    def packing(self, split: str) -> inputs.Packing:
        """How scans become arrays: with a cap in training, whole with their points otherwise."""
        data, task = self.config.data, self.config.task
        if split == "train":
            return inputs.Packing(
                classes=self.classes,
                voxel_size=data.voxel_size,
                voxels=data.voxels,
                augment=data.augment,
                subset=True,
                extent=tuple(data.range),
            )
        return inputs.Packing(
            classes=self.classes,
            voxel_size=data.voxel_size,
            voxels=task.evaluation_voxels,
            points=task.evaluation_points,
            augment=task.augmented_views,
            views=task.views,
            extent=tuple(data.range),
        )

    def source(self, split: str) -> Source:
        records = inputs.records_of(self.config, split)
        if self.config.data.name != "generated":
            inputs.check_supervision(records, self.classes)
        return Source(
            records,
            self.config.train.batch_size,
            self.packing("train"),
        )

    def batch_specs(self, split: str) -> BatchSpecs:
        return inputs.specs_of(self.packing("train"), self.config.train.batch_size)

    def levels(self, coords: Int[Array, "s v 3"], count: Int[Array, " s"]) -> tuple[Level, ...]:
        """The pyramid of packed scans, whose voxels come in lexicographic order."""
        return build_pyramid(Sites.packed(coords, count), self.capacities)

    def supervised(self, arrays: Mapping[str, np.ndarray]) -> int:
        """Voxels whose label is a class that counts."""
        labels = arrays["labels"]
        counts = (labels != objective.IGNORE) & (labels >= 0) & (labels < len(self.classes))
        return int(np.sum(counts))

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """Cross entropy + Lovasz, averaged over `train.loss_groups` (processes as published)."""
        levels = self.levels(batch["coords"], batch["count"])
        logits, state = self.model.apply(
            variables, batch["features"], levels, train, mutable=["batch_stats"]
        )
        labels = batch["labels"]
        groups = self.config.train.loss_groups
        losses = mean_over_groups(objective.segmentation_losses, groups, logits, labels)
        keep = objective.valid_labels(labels, len(self.classes))
        right = jnp.sum((jnp.argmax(logits, axis=-1) == labels) & keep).astype(jnp.float32)
        scans = jnp.float32(labels.shape[0])
        metrics = {name: (value * scans, scans) for name, value in losses.items()}
        metrics["voxel_accuracy"] = (100 * right, jnp.sum(keep).astype(jnp.float32))
        metrics["voxels_left_out"] = (jnp.sum(batch["dropped"]).astype(jnp.float32), scans)
        metrics["overflow"] = (jnp.sum(overflow(levels)).astype(jnp.float32), scans)
        return losses["cross_entropy"] + losses["lovasz"], Aux(metrics, state)

    def point_scores(
        self, variables: Variables, batch: Batch
    ) -> tuple[Float[Array, "b p k"], Int[Array, " b"]]:
        """Logits of every point, summed over the views, and the overflow of each scan's maps."""
        scans, views = batch["count"].shape

        def flat(name: str) -> Array:
            return batch[name].reshape(scans * views, *batch[name].shape[2:])

        levels = self.levels(flat("coords"), flat("count"))
        # Running statistics only: the number of groups does not matter here.
        logits = self.model.clone(norm_groups=1).apply(variables, flat("features"), levels)
        scores = devoxelise_nearest(logits, flat("voxel_of_point"))
        scores = jnp.sum(scores.reshape(scans, views, *scores.shape[1:]), axis=1)
        return scores, jnp.sum(overflow(levels).reshape(scans, views), axis=1)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`classes` [b, points] of a batch packed with its points, or [b, voxels] of one without.

        nuScenes refuses predictions of class 0, so task.predict_ignored=False leaves it out.
        """
        if "voxel_of_point" in batch:
            scores, lost = self.point_scores(variables, batch)
        else:
            levels = self.levels(batch["coords"], batch["count"])
            scores = self.model.clone(norm_groups=1).apply(variables, batch["features"], levels)
            lost = overflow(levels)
        if not self.config.task.predict_ignored:
            scores = scores.at[..., objective.IGNORE].set(-jnp.inf)
        return {"classes": jnp.argmax(scores, axis=-1).astype(jnp.int32), "overflow": lost}

    def evaluations(self) -> Mapping[str, Evaluation]:
        task, packing = self.config.task, self.packing("test")
        count = len(self.classes)

        def outputs(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
            answer = self.predict(variables, batch, rng)
            lost = jnp.sum(batch["dropped"], axis=1) + batch["points_lost"] + answer["overflow"]
            counted = point_confusion(answer["classes"], batch["point_labels"], count)
            return {"confusion": counted, "overflow": lost}

        size = task.evaluation_batch
        source = Source(inputs.records_of(self.config, "test"), size, packing)
        specs = inputs.specs_of(packing, size)
        nuscenes = self.config.data.name == "nuscenes"
        return {"scans": scan_evaluation(source, specs, outputs, self.classes.names, nuscenes)}

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The first scan from above: predicted classes beside the labels, and what the colours
        are."""
        count = int(np.ravel(batch["count"])[0])
        colours = class_colours(len(self.classes))
        place = np.asarray(batch["features"][0], np.float32)[:count, :3]
        labels = np.asarray(batch["labels"][0])[:count]
        shown = [
            np.asarray(outputs["classes"][0])[:count],
            np.where(labels < len(colours), labels, 0),
        ]
        halves = zip(("predicted", "truth"), shown, strict=True)
        pictures = side_by_side([(title, birds_eye(place, colours[c])) for title, c in halves])
        present = np.unique(np.concatenate(shown))
        names = [self.classes.names[n] for n in present]
        return {"birds_eye": with_legend(pictures, names, colours[present])}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """Labels in the input's format, two pictures and a summary per scan."""
        data = self.config.data
        run = jax.jit(self.predict)
        label = prediction.scan_labeller(
            self.packing("test"),
            lambda batch: run(variables, batch, jax.random.key(0)),
            self.config.seed,
        )
        known = data.name == "nuscenes" and data.root
        return prediction.predict_files(
            paths,
            outdir,
            label,
            self.classes,
            form=ScanFormat.of_config(data),
            tokens=prediction.nuscenes_tokens(path_to(data.root), data.version) if known else None,
        )
