"""LinK's published segmentation networks: their names, files and inputs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.data.lidar.classes import NUSCENES, SEMANTIC_KITTI
from jaxvision.data.lidar.own_scans import read_scan
from jaxvision.data.lidar.scan import check_points
from jaxvision.data.lidar.voxels import capacity_for, voxelise
from jaxvision.errors import InputError
from jaxvision.methods.link.levels import LevelCapacities
from jaxvision.methods.link.segmentation.network import Network, SegmentationNetwork
from jaxvision.methods.link.segmentation.pyramid import build_pyramid
from jaxvision.methods.link.segmentation.weights import network_entries
from jaxvision.ops.sparse_voxels import Sites, devoxelise_nearest
from jaxvision.ops.voxel_aggregation import Form
from jaxvision.stores.stored_path import path_to
from jaxvision.weights.official import OfficialModel

WIDTH = 64


class Kernel(NamedTuple):
    """A published kernel: r blocks of s voxels per axis, which a checkpoint does not say."""

    network: Network
    form: Form = "cos_x"
    neighbours: int = 2
    edge: int | None = 3
    groups: int = 1
    miou: float | None = None  # SemanticKITTI validation, percent


KERNELS = {
    "linkunet_cos_x_2x3": Kernel("linkunet", miou=67.72),
    "linkunet_cos_3x7": Kernel("linkunet", "cos", 3, 7, groups=2, miou=67.50),
    "linkencoder_cos_x_2x3": Kernel("linkencoder", miou=67.33),
    "linkencoder_cos_3x5": Kernel("linkencoder", "cos", 3, 5, groups=2, miou=67.07),
    "linkencoder_cos_3x7": Kernel("linkencoder", "cos", 3, 7, groups=2),
    "minkunet": Kernel("minkunet", edge=None),
}
# Class names and voxel size (m) by dataset.
DATASETS = {"kitti": (SEMANTIC_KITTI.names, 0.05), "nuscenes": (NUSCENES.names, 0.15)}
VARIANTS = tuple(f"{kernel}_{data}" for kernel in KERNELS for data in DATASETS)


class PackedScan(NamedTuple):
    """One scan as the network takes it; padding behind the `existing` voxels."""

    coords: Int[np.ndarray, "1 v 3"]
    features: Float[np.ndarray, "1 v 4"]
    existing: Int[np.ndarray, " 1"]
    voxel_of_point: Int[np.ndarray, "1 p"]


class ScanSegmenter(nn.Module):
    """Points to class scores: voxel maps, the network, and the way back to points."""

    network: SegmentationNetwork
    capacities: LevelCapacities

    def setup(self):
        # Its parameters are the network's, without a level of their own.
        nn.share_scope(self, self.network)

    def __call__(self, scan: PackedScan) -> Float[Array, "1 p k"]:
        sites = Sites.packed(jnp.asarray(scan.coords), jnp.asarray(scan.existing))
        levels = build_pyramid(sites, self.capacities)
        logits = self.network(jnp.asarray(scan.features), levels)
        return devoxelise_nearest(logits, jnp.asarray(scan.voxel_of_point))


def segmenter(name: str, dtype: str = "float32") -> OfficialModel | None:
    """The published network called `name` ("linkunet_cos_x_2x3_kitti"; "..._40wide" for the
    narrow ones, "..._12classes" instead of a dataset for labels of one's own at 0.05 m); None where
    it is none of these."""
    found = re.fullmatch(r"(.+?)_(kitti|nuscenes|[1-9]\d*classes)(?:_([1-9]\d*)wide)?", name)
    if not found or found[1] not in KERNELS:
        return None
    kernel = KERNELS[found[1]]
    names, size = DATASETS.get(found[2], ((), 0.05))
    model = SegmentationNetwork(
        network=kernel.network,
        classes=len(names) or int(found[2].removesuffix("classes")),
        width=int(found[3] or WIDTH),
        form=kernel.form,
        groups=kernel.groups,
        dtype=jnp.dtype(dtype),
    )
    return OfficialModel(
        f"link/{name}",
        ScanSegmenter(model, LevelCapacities(kernel.edge, kernel.neighbours)),
        network_entries(model),
        lambda scan: pack_scan(scan, size),
        class_names=names,
    )


def segmenter_of(task: Any, name: str) -> OfficialModel:
    """The network that a task trains."""
    model, size = task.config.model, task.config.data.voxel_size
    return OfficialModel(
        name,
        ScanSegmenter(task.model, LevelCapacities(model.edge, model.neighbours)),
        network_entries(task.model),
        lambda scan: pack_scan(scan, size),
    )


BY_HAND = (
    "take it from the cloud drive that the README of github.com/MCG-NJU/LinK links under "
    "'Segmentation on SemanticKITTI'"
)


def published() -> list[dict[str, str]]:
    """Rows of the table of published weights. The files of one kernel size tell neither r nor s:
    the name chosen does."""
    rows = []
    for name, kernel in KERNELS.items():
        shown = {
            "network": f"link/{name}_kitti",
            "file": "max-iou-val.pt",
            "by hand": BY_HAND,
            "preprocessing": "voxels of 0.05 m, x y z reflectance of a voxel's first point",
        }
        if kernel.miou:
            shown["mIoU"] = f"{kernel.miou:.2f} % (SemanticKITTI val)"
        rows.append(shown)
    return rows


def name_of(tensors: Mapping[str, np.ndarray]) -> str | None:
    """The network that tensors of a file belong to, None where they are no segmentation network's.
    Of kernels that share all shapes, the first published one (2 x 3 with cos + x; else 3 x 7,
    encoder 3 x 5)."""
    if "stem.0.kernel" not in tensors or "classifier.0.weight" not in tensors:
        return None
    width = tensors["stem.0.kernel"].shape[-1]
    last = tensors.get("classifier.2.weight", tensors["classifier.0.weight"])
    if "point_transforms.0.0.weight" in tensors:
        kernel = "minkunet"
    else:
        network = "linkencoder" if "classifier.2.weight" in tensors else "linkunet"
        size = "cos_x_2x3" if "elk1.alpha" in tensors else "cos_3x7"
        kernel = f"{network}_{size}".replace("linkencoder_cos_3x7", "linkencoder_cos_3x5")
    labels = {len(names): name for name, (names, _) in DATASETS.items()}
    classes = labels.get(last.shape[0], f"{last.shape[0]}classes")
    narrow = "" if width == WIDTH else f"_{width}wide"
    return f"{kernel}_{classes}{narrow}"


def pack_scan(scan: Float[np.ndarray, "n 4"] | str | Path, voxel_size: float) -> PackedScan:
    """Points x, y, z (m), reflectance, or a `.bin` or `.ply` file, as the network takes them.

    Points keep their order and number, so the scores are one row a point.
    """
    if isinstance(scan, (str, Path)):
        points = read_scan(path_to(scan)).points
    else:
        points = np.asarray(scan, np.float32)
        if points.ndim != 2 or points.shape[1] != 4:
            raise InputError(f"points of shape {points.shape}; expected [points, 4]")
        check_points(points, Path("points"))
    voxels = voxelise(points, voxel_size)
    count, rows = len(voxels.coords), capacity_for(len(voxels.coords))
    coords, features = np.zeros((1, rows, 3), np.int32), np.zeros((1, rows, 4), np.float32)
    coords[0, :count], features[0, :count] = voxels.coords, points[voxels.first_point]
    return PackedScan(coords, features, np.array([count], np.int32), voxels.voxel_of_point[None])
