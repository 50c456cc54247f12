"""LinK's published detectors: their names, files and inputs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Int

from jaxvision.data.lidar.hard_voxels import VoxelGrid
from jaxvision.data.lidar.scan import check_points, read_floats
from jaxvision.data.lidar.voxels import capacity_for
from jaxvision.errors import InputError
from jaxvision.methods.link.detection.backbone import VERSIONS, Version
from jaxvision.methods.link.detection.decode import Boxes, Decoding, decode
from jaxvision.methods.link.detection.detector import Detector
from jaxvision.methods.link.detection.pyramid import build_detection_levels, level_extents
from jaxvision.methods.link.detection.weights import SPCONV_1, detector_entries
from jaxvision.methods.link.levels import LevelCapacities
from jaxvision.ops.sparse_voxels import Sites
from jaxvision.stores.stored_path import path_to
from jaxvision.weights.official import OfficialModel

PREFIX = "centerpoint_"
FIRST_PLANES = 16
EDGE = 7  # voxels of a block of the published kernels
# Voxels of scenes this small are far apart, and a strided convolution makes more than it reads.
SPARSE = 50_000


class Setting(NamedTuple):
    """What a dataset decides. tasks: classes of each.  names: of all, where known.  points, voxels:
    most of a voxel, of a scan.  kept: boxes a task leaves.  limits: of centres (m)."""

    tasks: tuple[int, ...]
    velocity: bool
    grid: VoxelGrid
    names: tuple[str, ...] = ()
    points: int = 10
    voxels: int = 160_000
    candidates: int = 1000
    kept: int = 83
    overlap: float = 0.2
    limits: tuple[float, ...] = (-61.2, -61.2, -10.0, 61.2, 61.2, 10.0)

    def decoding(self) -> Decoding:
        """The published way from maps to boxes."""
        x, y = (8 * size for size in self.grid.size[:2])
        return Decoding(
            origin=(self.grid.extent[0], self.grid.extent[1]),
            cell=(x, y),
            limits=self.limits,
            candidates=self.candidates,
            kept=self.kept,
            overlap=self.overlap,
        )


NUSCENES_TASKS = (
    ("car",),
    ("truck", "construction_vehicle"),
    ("bus", "trailer"),
    ("barrier",),
    ("motorcycle", "bicycle"),
    ("pedestrian", "traffic_cone"),
)
NUSCENES_CLASSES = tuple(name for task in NUSCENES_TASKS for name in task)
NUSCENES_COUNTS = tuple(map(len, NUSCENES_TASKS))
FINE = VoxelGrid((-54.0, -54.0, -5.0, 54.0, 54.0, 3.0), (0.075, 0.075, 0.2))
COARSE = VoxelGrid((-51.2, -51.2, -5.0, 51.2, 51.2, 3.0), (0.1, 0.1, 0.2))
WAYMO = VoxelGrid((-75.2, -75.2, -2.0, 75.2, 75.2, 4.0), (0.1, 0.1, 0.15))
SETTINGS = {
    "nuscenes": Setting(NUSCENES_COUNTS, True, FINE, names=NUSCENES_CLASSES),
    "nuscenes_01": Setting(NUSCENES_COUNTS, True, COARSE, names=NUSCENES_CLASSES, voxels=120_000),
    "waymo": Setting(
        (3,),
        False,
        WAYMO,
        points=5,
        voxels=150_000,
        candidates=4096,
        kept=500,
        overlap=0.7,
        limits=(-80.0, -80.0, -10.0, 80.0, 80.0, 10.0),
    ),
}
VARIANTS = tuple(f"{PREFIX}{version}_{data}" for version in VERSIONS for data in SETTINGS)
# Validation NDS and mAP as published (percent).
RESULTS = {"elkv3": "NDS 69.5, mAP 63.6", "baseline": "NDS 66.8, mAP 59.6"}


def level_shares(voxels: int) -> tuple[float, ...]:
    """Capacities of the levels for a scan of that many voxels: wide for sparse scans, and for full
    ones what the published range holds with room to spare."""
    return (1.0, 3.5, 3.0, 2.0, 1.5) if voxels <= SPARSE else (1.0, 1.5, 0.75, 0.375, 0.375)


class PackedSweeps(NamedTuple):
    """One scan as the network takes it, voxels in lexicographic order, padding behind them."""

    coords: Int[np.ndarray, "1 v 3"]
    features: Float[np.ndarray, "1 v 5"]
    existing: Int[np.ndarray, " 1"]


class ScanDetector(nn.Module):
    """Voxels to boxes: maps between voxels, the network, decoding and suppression."""

    network: Detector
    grid: tuple[int, int, int]
    decoding: Decoding
    edge: int = EDGE

    def setup(self):
        # Its parameters are the network's, without a level of their own.
        nn.share_scope(self, self.network)

    def __call__(self, scan: PackedSweeps) -> Boxes:
        sites = Sites.packed(jnp.asarray(scan.coords), jnp.asarray(scan.existing))
        capacities = LevelCapacities(
            None if self.network.version == "baseline" else self.edge,
            level_share=level_shares(sites.capacity),
            block_share=0.5,
        )
        levels = build_detection_levels(sites, self.grid, capacities)
        return decode(self.network(jnp.asarray(scan.features), levels), self.decoding)


def detector(name: str, dtype: str = "float32") -> OfficialModel | None:
    """The published detector called `name` ("centerpoint_elkv3_nuscenes"); for a head of one's own
    "centerpoint_elkv3_1_2classes": classes of each task, "..._still" without velocities, and
    "..._4wide" for narrow networks; None where it is none of these."""
    found = re.fullmatch(
        rf"{PREFIX}({'|'.join(VERSIONS)})_(?:({'|'.join(SETTINGS)})|(\d+(?:_\d+)*)classes(_still)?)"
        r"(?:_([1-9]\d*)wide)?",
        name,
    )
    if not found:
        return None
    version: Version = found[1]  # type: ignore[assignment]
    setting = SETTINGS[found[2] or "nuscenes"]
    if found[3]:
        tasks = tuple(map(int, found[3].split("_")))
        setting = setting._replace(tasks=tasks, velocity=not found[4], names=())
    wide = int(found[5] or FIRST_PLANES)
    model = Detector(
        classes=setting.tasks,
        velocity=setting.velocity,
        version=version,
        planes=(wide, 2 * wide, 4 * wide, 8 * wide),
        neck_widths=(8 * wide, 16 * wide),
        joined_width=16 * wide,
        head_width=4 * wide,
        dtype=jnp.dtype(dtype),
    )
    return OfficialModel(
        f"link/{name}",
        ScanDetector(model, setting.grid.shape, setting.decoding()),
        detector_entries(model),
        lambda scan: pack_sweeps(scan, setting),
        {"spconv1": SPCONV_1},
        class_names=setting.names,
    )


def detector_of(task: Any, name: str) -> OfficialModel:
    """The network that a task trains."""
    config, model = task.config, task.model
    setting = Setting(
        model.classes,
        model.velocity,
        task.grid,
        points=config.data.points_per_voxel,
        voxels=config.data.voxels,
    )
    return OfficialModel(
        name,
        ScanDetector(model, task.grid.shape, task.decoding, config.model.edge),
        detector_entries(model, depth=level_extents(task.grid.shape)[-1][2]),
        lambda scan: pack_sweeps(scan, setting),
    )


def pack_sweeps(scan: Float[np.ndarray, "n c"] | str | Path, setting: Setting) -> PackedSweeps:
    """Points x, y, z (m), intensity (0 to 255), time lag (s), or a key frame's `.bin` of five
    values a point (its ring is not read: the time lag is 0)."""
    if isinstance(scan, (str, Path)):
        points = read_floats(path_to(scan), 5)
        points[:, 4] = 0
    else:
        points = np.asarray(scan, np.float32)
        if points.ndim != 2 or points.shape[1] != 5:
            raise InputError(f"points of shape {points.shape}; expected [points, 5]")
        check_points(points, Path("points"))
    found = len(setting.grid.voxelise(points, setting.voxels, setting.points).coords)
    if not found:
        raise InputError(f"points: none inside the range {setting.grid.extent}")
    rows = min(capacity_for(found), setting.voxels)
    packed, _ = setting.grid.pack(points, rows, setting.points)
    return PackedSweeps(
        packed["coords"][None], packed["features"][None], np.atleast_1d(packed["count"])
    )


BY_HAND = (
    "take it from the cloud drive that the README of github.com/MCG-NJU/LinK links under "
    "'Detection on nuScenes'"
)


def published() -> list[dict[str, str]]:
    """Rows of the table of published weights, for people."""
    rows = []
    for version in VERSIONS:
        shown = {
            "network": f"link/{PREFIX}{version}_nuscenes",
            "file": "epoch_20.pth",
            "by hand": BY_HAND,
            "preprocessing": "10 sweeps, voxels of 0.075 x 0.075 x 0.2 m, mean of up to 10 points",
        }
        if version in RESULTS:
            shown["result"] = f"{RESULTS[version]} (nuScenes val)"
        rows.append(shown)
    return rows


def name_of(tensors: Mapping[str, np.ndarray]) -> str | None:
    """The detector that tensors of a file belong to, in either layout of spconv's kernels; None
    where they are no detector's. The files tell no range: nuScenes at 0.075 m, or Waymo."""
    bias = tensors.get("backbone.conv_input.1.bias")
    if bias is None or "bbox_head.shared_conv.0.weight" not in tensors:
        return None
    if "backbone.elk1_tail.0.weight" in tensors:
        version = "elkv3"
    elif "backbone.elk1.pre_mix.0.weight" in tensors:
        version = "elkv1"
    else:
        parallel = "backbone.conv1.0.elk.pre_mix.0.weight" in tensors
        version = "elkv2" if parallel else "baseline"
    heat = re.compile(r"bbox_head\.tasks\.(\d+)\.hm\.3\.bias")
    found = {int(m[1]): len(tensors[name]) for name in tensors if (m := heat.fullmatch(name))}
    tasks = tuple(found[n] for n in sorted(found))
    velocity = "bbox_head.tasks.0.vel.3.bias" in tensors
    data = "_".join(map(str, tasks)) + "classes" + ("" if velocity else "_still")
    for name in ("nuscenes", "waymo"):
        if (tasks, velocity) == SETTINGS[name][:2]:
            data = name
    narrow = "" if len(bias) == FIRST_PLANES else f"_{len(bias)}wide"
    return f"{PREFIX}{version}_{data}{narrow}"
