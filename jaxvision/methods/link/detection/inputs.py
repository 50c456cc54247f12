"""From a detection recipe's data to scans with boxes, voxels, targets and batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from jaxvision.data.lidar import nuscenes
from jaxvision.data.lidar.boxed_scan import BoxedScan, OwnBoxedScans
from jaxvision.data.lidar.boxes import Motion, in_range_above
from jaxvision.data.lidar.hard_voxels import VoxelGrid
from jaxvision.data.lidar.moving_streets import MovingStreets
from jaxvision.data.lidar.nuscenes_index import NuscenesFrames
from jaxvision.data.lidar.object_sampling import ObjectBank, RecordSubset, balanced
from jaxvision.data.lidar.scan_format import ScanFormat
from jaxvision.data.source import Records
from jaxvision.errors import InputError
from jaxvision.methods.link.detection.targets import TargetMaker
from jaxvision.methods.link.recipe_data import check_names, made_up_seed, root_of, sensor_of
from jaxvision.stores.stored_path import path_to

DATASETS = ("generated", "nuscenes", "own")
# Buckets of training: with objects pasted, and, at the end of a run, without.
PASTED, PLAIN = "pasted", "plain"
FIELDS = 5
FLIPS = ((False, False), (True, False), (False, True), (True, True))


def task_classes(config: ConfigDict) -> tuple[tuple[str, ...], ...]:
    """Class names of each task of the head. InputError where one stands twice."""
    tasks = tuple(tuple(task) for task in config.data.tasks)
    names = [name for task in tasks for name in task]
    if not names or len(set(names)) < len(names):
        raise InputError(f"data.tasks {tasks}: expected class names, each once")
    return tasks


def class_names(config: ConfigDict) -> tuple[str, ...]:
    """Class names in the order of the labels."""
    return tuple(name for task in task_classes(config) for name in task)


def grid_of(config: ConfigDict) -> VoxelGrid:
    """Range and voxel size of a recipe. InputError where they make no grid."""
    data = config.data
    extent, size = tuple(data.range), tuple(data.voxel_size)
    if len(extent) != 6 or len(size) != 3 or min(size) <= 0:
        raise InputError(
            f"data.range {extent}, data.voxel_size {size}: expected six numbers, minima then "
            "maxima, and three"
        )
    grid = VoxelGrid(extent, size)
    if min(grid.shape) < 1:
        raise InputError(f"data.range {extent}: no voxel of {size} fits in")
    return grid


def records_of(config: ConfigDict, split: str, names: Sequence[str]) -> Records:
    """Scans with boxes of "train" or "test"; data.train and data.test say which ones they are.
    names: of the classes."""
    check_names(config, split, DATASETS)
    data = config.data
    part = data[split]
    if data.name == "generated":
        seed = made_up_seed(config, split)
        heading = np.deg2rad(data.street_heading)
        sensor = sensor_of(config)
        return MovingStreets(int(part), seed, sensor, data.sweeps, most_heading=heading)
    root = root_of(config)
    if data.name == "own":
        return OwnBoxedScans.open(root / str(part), names, ScanFormat.of_config(data))
    scenes = nuscenes.scenes_of(part)
    frames = NuscenesFrames.open(root, data.version, scenes, data.sweeps, data.index)
    if split == "train" and data.resample:
        found = [frame.with_points_inside().names for frame in frames.frames]
        return RecordSubset(frames, balanced(found, names, config.seed))
    return frames


def bank_of(config: ConfigDict) -> ObjectBank | None:
    """Objects to paste while training, None where the recipe pastes none."""
    data = config.data
    if not data.paste:
        return None
    if not data.index:
        raise InputError("data.paste needs data.index, a folder of `jaxvision prepare nuscenes`")
    return ObjectBank.open(path_to(data.index), nuscenes.scenes_of(data.train))


@dataclass(frozen=True, kw_only=True)
class DetectionPacking:
    """A scan as arrays of fixed size.

    voxels: capacity; points: of a voxel; extra_view_voxels: most of every view but the first.
    slots: boxes kept as `truth`.  views: copies of the scan (flip y, flip x, angle in rad), () in
    training, where every scan is augmented anew instead by `angle`, `scale` and `shift`.
    bank, paste_counts: objects to paste while training, up to so many of each class.
    """

    classes: tuple[str, ...]
    grid: VoxelGrid
    maker: TargetMaker
    voxels: int
    points: int
    extra_view_voxels: int
    slots: int
    views: tuple[tuple[bool, bool, float], ...] = ()
    augment: bool = False
    angle: float = np.pi / 4
    scale: tuple[float, float] = (0.9, 1.1)
    shift: float = 0.5
    bank: ObjectBank | None = None
    paste_counts: Mapping[str, int] = field(default_factory=dict)

    def __call__(
        self, scan: BoxedScan, rng: np.random.Generator, bucket: str
    ) -> dict[str, np.ndarray]:
        """`coords` [v, 3], `features` [v, 5], `count`, `dropped` (voxels), and the boxes as `truth`
        [slots, 9], `truth_label`, `truth_count`. In training: targets `heat0`, `box0`, `cell0`,
        `mask0`, `category0` of each task and `outside` (boxes); else a leading axis of views."""
        if self.views:
            packed = self._views(scan.merged())
            return packed | self._truth(*self._known(scan.boxes, scan.names))
        points, boxes, names = scan.merged(rng), scan.boxes, scan.names
        if self.bank is not None and bucket == PASTED:
            points, boxes, names = self.bank.paste(scan, points, self.paste_counts, rng)
        boxes, labels = self._known(boxes, names)
        if self.augment:
            move = Motion.draw(rng, self.angle, self.scale, self.shift)
            points, boxes = move.points(points), move.boxes(boxes)
            points = rng.permutation(points)
        extent = self.grid.extent
        near = in_range_above(boxes, (*extent[:2], *extent[3:5]))
        packed, dropped = self._pack(points, self.voxels)
        packed["dropped"] = np.asarray(dropped, np.int32)
        packed["outside"] = np.asarray(
            len(near) - int((near & self.maker.on_maps(boxes)).sum()), np.int32
        )
        boxes, labels = boxes[near], labels[near]
        for task, targets in enumerate(self.maker(boxes, labels)):
            packed |= {f"{n}{task}": v for n, v in targets._asdict().items()}
        return packed | self._truth(boxes, labels)

    def _known(self, boxes: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of the recipe's classes and their labels."""
        number = {name: n for n, name in enumerate(self.classes)}
        labels = np.array([number.get(name, -1) for name in names], np.int32)
        return boxes[labels >= 0].astype(np.float32), labels[labels >= 0]

    def _truth(self, boxes: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        count = min(len(boxes), self.slots)
        truth, label = np.zeros((self.slots, 9), np.float32), np.zeros(self.slots, np.int32)
        truth[:count], label[:count] = boxes[:count], labels[:count]
        number = np.asarray(count, np.int32)
        return {"truth": truth, "truth_label": label, "truth_count": number}

    def _pack(
        self, points: Float[np.ndarray, "n 5"], most: int
    ) -> tuple[dict[str, np.ndarray], int]:
        packed, dropped = self.grid.pack(points, min(most, self.voxels), self.points)
        if not packed["count"]:
            raise InputError(f"scan: no point inside the range {self.grid.extent}")
        missing = self.voxels - len(packed["coords"])
        for name in ("coords", "features"):
            packed[name] = np.pad(packed[name], ((0, missing), (0, 0)))
        return packed, dropped

    def _views(self, points: Float[np.ndarray, "n 5"]) -> dict[str, np.ndarray]:
        views, lost = [], 0
        for number, (flip_y, flip_x, angle) in enumerate(self.views):
            move = Motion(flip_y, flip_x, angle, 1.0, (0.0, 0.0, 0.0))
            most = self.extra_view_voxels if number else self.voxels
            packed, dropped = self._pack(move.points(points), most)
            views.append(packed)
            lost += dropped
        stacked = {name: np.stack([view[name] for view in views]) for name in views[0]}
        return stacked | {"dropped": np.asarray(lost, np.int32)}

    def specs(self, batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of a batch of scans."""
        lead = (batch, len(self.views)) if self.views else (batch,)

        def spec(*shape: int, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(shape, dtype)

        whole = jnp.int32
        fields = {
            "coords": spec(*lead, self.voxels, 3, dtype=whole),
            "features": spec(*lead, self.voxels, FIELDS),
            "count": spec(*lead, dtype=whole),
            "dropped": spec(batch, dtype=whole),
            "truth": spec(batch, self.slots, 9),
            "truth_label": spec(batch, self.slots, dtype=whole),
            "truth_count": spec(batch, dtype=whole),
        }
        if self.views:
            return fields
        maker = self.maker
        for task, classes in enumerate(maker.tasks):
            fields |= {
                f"heat{task}": spec(batch, *maker.shape, classes),
                f"box{task}": spec(batch, maker.slots, 10 if maker.velocity else 8),
            }
            for name in ("cell", "mask", "category"):
                fields[f"{name}{task}"] = spec(batch, maker.slots, dtype=whole)
        return fields | {"outside": spec(batch, dtype=whole)}
