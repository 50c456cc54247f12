"""From a recipe's data to scans, voxels and batches."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxvision.data.lidar import nuscenes
from jaxvision.data.lidar.classes import NUSCENES, SEMANTIC_KITTI, Classes
from jaxvision.data.lidar.own_scans import OwnScans
from jaxvision.data.lidar.scan import Scan, crop_to_range
from jaxvision.data.lidar.scan_format import ScanFormat
from jaxvision.data.lidar.semantic_kitti import SEQUENCES, SemanticKitti
from jaxvision.data.lidar.streets import Streets
from jaxvision.data.lidar.voxels import Placement, voxelise
from jaxvision.data.source import Records
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.link.recipe_data import check_names, made_up_seed, root_of, sensor_of
from jaxvision.training.task import BatchSpecs

DATASETS = ("generated", "semantic_kitti", "nuscenes", "own")
FEATURES = 4


def classes_of(config: ConfigDict) -> Classes:
    """The classes of a recipe: the dataset's, or its own table in data.classes."""
    data = config.data
    check_choice("data.name", data.name, DATASETS)
    if data.classes:
        return Classes.of_config(data.classes.to_dict(), tuple(data.ignored))
    if data.name == "own":
        raise InputError("data.classes is empty; expected {name: raw label ids} of your own data")
    return NUSCENES if data.name == "nuscenes" else SEMANTIC_KITTI


def class_names(config: ConfigDict) -> tuple[str, ...]:
    """Class names in the order of the labels, the ignored one first."""
    return classes_of(config).names


def records_of(config: ConfigDict, split: str) -> Records:
    """Labelled scans of "train" or "test"; data.train and data.test say which ones they are."""
    check_names(config, split, DATASETS)
    data = config.data
    part = data[split]
    if data.name == "generated":
        return Streets(int(part), made_up_seed(config, split), sensor_of(config))
    root = root_of(config)
    if data.name == "semantic_kitti":
        if isinstance(part, str) and part in SEQUENCES:
            return SemanticKitti.split(root, part)
        return SemanticKitti.open(root, _sequences(part))
    if data.name == "nuscenes":
        return nuscenes.Lidarseg.open(root, data.version, nuscenes.scenes_of(part))
    return OwnScans.open(root / str(part), form=ScanFormat.of_config(data))


# Scans that are looked through for a label that counts, before training.
LOOKED_THROUGH = 8


def check_supervision(records: Records, classes: Classes) -> None:
    """InputError where no label of some scans, evenly spread, is of a class that a loss reads: with
    a table of classes that does not fit, the loss would be 0. Scans that cannot be read are passed
    over: training counts them."""
    found: set[int] = set()
    scans = range(0, len(records), -(-len(records) // LOOKED_THROUGH))
    for index in scans:
        try:
            labels = records[index].labels
        except InputError:
            continue
        raw = np.unique(labels) if labels is not None else np.zeros(0, np.int32)
        trained = classes.train_ids(raw, source=records.name(index))
        if ((trained > 0) & (trained < len(classes))).any():
            return
        found |= set(raw.tolist())
    if found:
        named = zip(classes.names[1:], classes.raw_ids[1:], strict=True)
        known = ", ".join(f"{name} {list(ids)}" for name, ids in named)
        raise InputError(
            f"data.classes: no label in {len(scans)} scans counts: raw ids "
            f"{sorted(found)[:20]} found, expected some of {known}"
        )


def _sequences(part) -> list[int]:
    try:
        return [int(number) for number in part]
    except (TypeError, ValueError):
        raise InputError(
            f"sequences {part!r}: expected one of {', '.join(SEQUENCES)} or numbers"
        ) from None


@dataclass(frozen=True, kw_only=True)
class Packing:
    """A scan as arrays of fixed size.

    voxels: capacity.  points: capacity for the way back to points; 0 leaves that out.
    subset: a scan of more voxels keeps a random subset (training, as published); otherwise what
        exceeds a capacity is dropped and counted in `overflow`.
    extent: x, y, z minima, then maxima (m), outside which points are left out; () keeps all.
    views: copies of the scan, each augmented anew where `augment` is set.
    """

    classes: Classes
    voxel_size: float
    voxels: int
    points: int = 0
    augment: bool = False
    subset: bool = False
    views: int = 1
    extent: tuple[float, ...] = ()

    def __call__(self, scan: Scan, rng: np.random.Generator, bucket: str) -> dict[str, np.ndarray]:
        """`coords` [v, 3], `features` [v, 4], `labels` [v] (0 in padding), `count`, `dropped`; with
        `points`: a leading axis of views, `voxel_of_point` [views, p], `point_labels` [p]."""
        scan = crop_to_range(scan, self.extent, "scan")
        labels = np.zeros(len(scan.points), np.int32)
        if scan.labels is not None:
            labels = self.classes.train_ids(scan.labels)
        views = [self._view(scan, labels, rng) for _ in range(self.views)]
        if not self.points:
            return views[0]
        packed: dict[str, np.ndarray] = {
            name: np.stack([view[name] for view in views]) for name in views[0]
        }
        point_labels = np.zeros(self.points, np.int32)
        kept = min(len(labels), self.points)
        point_labels[:kept] = labels[:kept]
        packed["point_labels"] = point_labels
        packed["points_lost"] = np.asarray(len(labels) - kept, np.int32)
        return packed

    def _view(
        self, scan: Scan, labels: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        points = Placement.draw(rng).apply(scan.points) if self.augment else scan.points
        coords, first, voxel_of_point = voxelise(points, self.voxel_size)
        found = len(coords)
        kept = np.arange(min(found, self.voxels))
        if found > self.voxels and self.subset:
            # In coordinate order, as the device's look-ups need it.
            kept = np.sort(rng.choice(found, self.voxels, replace=False))

        def padded(values: np.ndarray, rows: int) -> np.ndarray:
            out = np.zeros((rows, *values.shape[1:]), values.dtype)
            out[: len(values)] = values
            return out

        view: dict[str, np.ndarray] = {
            "coords": padded(coords[kept], self.voxels),
            "features": padded(points[first[kept]], self.voxels),
            "labels": padded(labels[first[kept]], self.voxels),
            "count": np.asarray(len(kept), np.int32),
            "dropped": np.asarray(found - len(kept), np.int32),
        }
        if self.points:
            row = voxel_of_point[: self.points]
            view["voxel_of_point"] = np.full(self.points, self.voxels, np.int32)
            view["voxel_of_point"][: len(row)] = np.minimum(row, self.voxels)
        return view


def specs_of(packing: Packing, batch: int) -> BatchSpecs:
    """Shapes of a batch of `batch` scans as `Packing` makes them."""
    lead = (batch, packing.views) if packing.points else (batch,)

    def spec(shape: tuple[int, ...], dtype=jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    fields: dict[str, jax.ShapeDtypeStruct] = {
        "coords": spec((*lead, packing.voxels, 3)),
        "features": spec((*lead, packing.voxels, FEATURES), jnp.float32),
        "labels": spec((*lead, packing.voxels)),
        "count": spec(lead),
        "dropped": spec(lead),
    }
    if packing.points:
        fields["voxel_of_point"] = spec((*lead, packing.points))
        fields["point_labels"] = spec((batch, packing.points))
        fields["points_lost"] = spec((batch,))
    return {"scans": fields}
