"""LinK detection as the engine sees it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxvision.data.labels import naming
from jaxvision.data.lidar import own_scans
from jaxvision.data.lidar.hard_voxels import VoxelGrid
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.scan_format import ScanFormat
from jaxvision.data.source import Source
from jaxvision.errors import InputError, check_choice, nearest
from jaxvision.methods.link.detection import inputs, prediction
from jaxvision.methods.link.detection.backbone import VERSIONS
from jaxvision.methods.link.detection.decode import Boxes, Decoding, decode, rotate_boxes
from jaxvision.methods.link.detection.detector import Detector
from jaxvision.methods.link.detection.evaluation import boxes_of_scan, detection_evaluation
from jaxvision.methods.link.detection.objective import TaskTargets, detection_loss
from jaxvision.methods.link.detection.pyramid import (
    STAGES,
    DetectionLevel,
    build_detection_levels,
    level_extents,
)
from jaxvision.methods.link.detection.targets import TargetMaker
from jaxvision.methods.link.levels import LevelCapacities, overflow
from jaxvision.metrics.detection import CLASSES
from jaxvision.ops.sparse_voxels import Sites
from jaxvision.stores.stored_path import path_to
from jaxvision.training.loss_groups import mean_over_groups
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Task, Variables


@dataclass(frozen=True)
class DetectionTask(Task):
    """One scan a shard. Parameters: the network's; collection batch_stats: running statistics."""

    input_suffixes = own_scans.SUFFIXES
    beside_endings = (".json",)

    def __post_init__(self):
        """InputError for settings that do not go together."""
        model, data = self.config.model, self.config.data
        check_choice("model.version", model.version, VERSIONS)
        odd = [width for width in model.planes if width % 2]
        if odd and model.version != "baseline":
            raise InputError(
                f"model.planes={tuple(model.planes)}: {odd[0]} is odd; position codes of "
                f"{model.version} fill each width in two halves"
            )
        try:
            level_extents(self.grid.shape)
        except ValueError as error:
            raise InputError(
                f"data.range, data.voxel_size: {error}; widen the range or halve voxels"
            ) from None
        names = self.names_in_data()
        unknown = [name for name in data.paste if name not in names]
        if unknown:
            raise InputError(f"data.paste: class {unknown[0]!r}{nearest(unknown[0], names)}")
        wrong = [name for name in names if data.name == "nuscenes" and name not in CLASSES]
        if wrong:
            raise InputError(f"data.tasks: class {wrong[0]!r}{nearest(wrong[0], CLASSES)}")

    def names_in_data(self) -> tuple[str, ...]:
        return inputs.class_names(self.config)

    def names_from(self) -> str:
        return naming(self.config.data, "tasks")

    @cached_property
    def grid(self) -> VoxelGrid:
        return inputs.grid_of(self.config)

    @cached_property
    def model(self) -> Detector:
        model = self.config.model
        return Detector(
            classes=tuple(len(task) for task in inputs.task_classes(self.config)),
            velocity=model.velocity,
            version=model.version,
            form=model.form,
            planes=tuple(model.planes),
            neck_layers=model.neck_layers,
            neck_widths=tuple(model.neck_widths),
            joined_width=model.joined_width,
            head_width=model.head_width,
            norm_groups=self.config.train.norm_groups,
            dtype=jnp.dtype(self.config.dtype),
            momentum=model.momentum,
        )

    @cached_property
    def capacities(self) -> LevelCapacities:
        model = self.config.model
        edge = None if model.version == "baseline" else model.edge
        return LevelCapacities(
            edge, level_share=tuple(model.level_share), block_share=model.block_share
        )

    @cached_property
    def decoding(self) -> Decoding:
        task, size, extent = self.config.task, self.grid.size, self.grid.extent
        stride = 1 << (STAGES - 1)
        return Decoding(
            origin=(extent[0], extent[1]),
            cell=(stride * size[0], stride * size[1]),
            limits=tuple(task.limits) or extent,
            threshold=task.threshold,
            candidates=task.candidates,
            kept=task.kept,
            overlap=task.overlap,
            squared_radii=tuple(task.squared_radii),
        )

    @cached_property
    def views(self) -> tuple[tuple[bool, bool, float], ...]:
        """Copies of a scan in evaluation: for every angle the scan, or it and its three flips."""
        task = self.config.task
        flips = inputs.FLIPS if task.double_flip else inputs.FLIPS[:1]
        return tuple((*flip, np.deg2rad(angle)) for angle in task.angles for flip in flips)

    def init(self, rng: PRNGKeyArray) -> Variables:
        ones = jnp.ones((self.config.train.norm_groups,), jnp.int32)
        levels = self.levels(jnp.zeros((len(ones), 8, 3), jnp.int32), ones)
        return self.model.init(rng, jnp.zeros((len(ones), 8, inputs.FIELDS)), levels)

    def levels(
        self, coords: Int[Array, "s v 3"], count: Int[Array, " s"]
    ) -> tuple[DetectionLevel, ...]:
        """The levels of packed scans, whose voxels come in lexicographic order."""
        return build_detection_levels(Sites.packed(coords, count), self.grid.shape, self.capacities)

    def packing(self, split: str) -> inputs.DetectionPacking:
        """How scans become arrays: augmented with targets in training, else in views."""
        data, task, training = self.config.data, self.config.task, split == "train"
        x, y, _ = level_extents(self.grid.shape)[STAGES - 1]
        maker = TargetMaker(
            tasks=self.model.classes,
            origin=self.decoding.origin,
            cell=self.decoding.cell,
            shape=(y, x),
            slots=data.slots,
            velocity=self.model.velocity,
        )
        return inputs.DetectionPacking(
            classes=self.class_names,
            grid=self.grid,
            maker=maker,
            voxels=data.voxels if training else task.evaluation_voxels,
            points=data.points_per_voxel,
            extra_view_voxels=data.voxels,
            slots=data.slots,
            views=() if training else self.views,
            augment=data.augment and training,
            angle=np.deg2rad(data.turn),
            scale=tuple(data.scale),
            shift=data.shift,
            paste_counts=data.paste.to_dict() if data.paste else {},
        )

    def source(self, split: str) -> Source | Mapping[str, Source]:
        return Source(
            inputs.records_of(self.config, split, self.class_names),
            self.config.train.batch_size,
            replace(self.packing("train"), bank=inputs.bank_of(self.config)),
        )

    def batch_specs(self, split: str) -> BatchSpecs:
        names = (inputs.PASTED, inputs.PLAIN) if self.config.data.paste else (inputs.PLAIN,)
        fields = self.packing("train").specs(self.config.train.batch_size)
        return dict.fromkeys(names, fields)

    def bucket(self, step: int) -> str:
        """Objects are pasted until the last share of a run ("fading")."""
        return inputs.PASTED if step < self._first_plain else inputs.PLAIN

    def bucket_names(self, steps: int) -> Sequence[str]:
        pasted = min(self._first_plain, steps)
        return [inputs.PASTED] * pasted + [inputs.PLAIN] * (steps - pasted)

    @property
    def _first_plain(self) -> int:
        """The first step that pastes nothing."""
        data = self.config.data
        return math.ceil(data.paste_share * self.config.train.steps) if data.paste else 0

    def supervised(self, arrays: Mapping[str, np.ndarray]) -> int:
        """Boxes inside the range that are of a class of the heads."""
        return sum(int(np.sum(arrays[f"mask{task}"])) for task in range(len(self.model.classes)))

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """Heat-map and box losses, averaged over `train.loss_groups` (processes as published)."""
        levels = self.levels(batch["coords"], batch["count"])
        maps, state = self.model.apply(
            variables, batch["features"], levels, train, mutable=["batch_stats"]
        )
        targets = [
            TaskTargets(*(batch[f"{name}{task}"] for name in TaskTargets._fields))
            for task in range(len(maps))
        ]
        weights = self.config.task.box_weight, tuple(self.config.task.code_weights)
        total, parts = mean_over_groups(
            lambda maps, targets: detection_loss(maps, targets, *weights),
            self.config.train.loss_groups,
            maps,
            targets,
        )
        scans = jnp.float32(batch["count"].shape[0])
        metrics = {}
        for task, part in enumerate(parts):
            metrics[f"heat_{task}"] = (part.heat * scans, scans)
            metrics[f"box_{task}"] = (jnp.sum(part.by_dimension) * scans, scans)
        for name in ("dropped", "outside"):
            label = {"dropped": "voxels_left_out", "outside": "boxes_outside"}[name]
            metrics[label] = (jnp.sum(batch[name]).astype(jnp.float32), scans)
        lost = jnp.sum(overflow(levels)).astype(jnp.float32)
        return total, Aux(metrics | {"overflow": (lost, scans)}, state)

    def detect(
        self,
        variables: Variables,
        coords: Int[Array, "s v 3"],
        count: Int[Array, " s"],
        features: Float[Array, "s v 5"],
        flips: bool = False,
    ) -> tuple[Boxes, Int[Array, " s"]]:
        """Boxes of every scan, or of every four views, and what found no room in each shard."""
        levels = self.levels(coords, count)
        # Running statistics only: the number of groups does not matter here.
        maps = self.model.clone(norm_groups=1).apply(variables, features, levels)
        return decode(maps, self.decoding, flips), overflow(levels)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`box` [b, n, 9], `score`, `label`, `valid`, `overflow` of each scan. Boxes of a batch
        with views are those of all angles, turned back."""
        if batch["coords"].ndim == 3:
            found, lost = self.detect(variables, batch["coords"], batch["count"], batch["features"])
            return found._asdict() | {"overflow": lost}
        scans, views = batch["count"].shape

        def flat(name: str) -> Array:
            return batch[name].reshape(scans * views, *batch[name].shape[2:])

        arrays = flat("coords"), flat("count"), flat("features")
        found, lost = self.detect(variables, *arrays, self.config.task.double_flip)
        angles = tuple(self.config.task.angles)
        fields = {
            n: v.reshape(scans, len(angles), *v.shape[1:]) for n, v in found._asdict().items()
        }
        rotated = [
            rotate_boxes(fields["box"][:, n], np.deg2rad(angle)) if angle else fields["box"][:, n]
            for n, angle in enumerate(angles)
        ]
        fields["box"] = jnp.stack(rotated, axis=1)
        fields = {name: v.reshape(scans, -1, *v.shape[3:]) for name, v in fields.items()}
        lost = jnp.sum(lost.reshape(scans, views), axis=1) + batch["dropped"]
        return fields | {"overflow": lost}

    @property
    def fused(self) -> bool:
        """Whether boxes of several angles are to be fused."""
        return len(self.config.task.angles) > 1

    def evaluations(self) -> Mapping[str, Evaluation]:
        task, data, packing = self.config.task, self.config.data, self.packing("test")

        def outputs(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
            truth = {n: batch[n] for n in ("truth", "truth_label", "truth_count")}
            return self.predict(variables, batch, rng) | truth

        size = task.evaluation_batch
        source = Source(inputs.records_of(self.config, "test", self.class_names), size, packing)
        tables = Tables(path_to(data.root), data.version) if data.name == "nuscenes" else None
        return {
            "scans": detection_evaluation(
                source,
                {"scans": packing.specs(size)},
                outputs,
                self.class_names,
                fused=self.fused,
                max_range_m=task.max_range_m,
                tables=tables,
            )
        }

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The first scan from above: boxes found, and the truth in white."""
        found = {name: np.asarray(value) for name, value in outputs.items()}
        answer = boxes_of_scan(found, 0, self.class_names, fused=False)
        first = {name: np.asarray(batch[name])[0] for name in ("features", "truth")}
        points = first["features"][: int(np.ravel(batch["count"])[0])]
        truth = first["truth"][: int(np.ravel(batch["truth_count"])[0])]
        return {"birds_eye": prediction.picture_above(points, answer, truth, self.class_names)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """Boxes as JSON, two pictures and a page to look around in, per scan."""
        data = self.config.data
        run = jax.jit(self.predict)
        detect = prediction.scan_detector(
            self.packing("test"),
            lambda batch: run(variables, batch, jax.random.key(0)),
            self.fused,
        )
        known = None
        if data.name == "nuscenes" and data.root:
            known = prediction.KeyFrames.open(path_to(data.root), data.version, data.sweeps)
        return prediction.predict_files(
            paths, outdir, detect, self.class_names, form=ScanFormat.of_config(data), known=known
        )
