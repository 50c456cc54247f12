"""Test sets of scene flow that are clouds alone: HPLFlowNet's of FlyingThings3D and KITTI, whose
points are all seen in both frames, and FlowNet3D's of both, some of whose points are hidden.

In metres, z forward. FlowNet3D's points are x right and y down, as everywhere here; HPLFlowNet's
come out x left and y up, as its readers and CamLiFlow's evaluations take them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from jaxvision.data.arrays import read_arrays
from jaxvision.data.conversions import note
from jaxvision.data.scene_flow.frames import draw, note_repeated
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.data.source import FileRecords
from jaxvision.errors import InputError
from jaxvision.text_files import read_lines

# Axes of FlowNet3D's clouds of KITTI, in our order.
KITTI_AXES = (1, 2, 0)
GROUND, FARTHEST = -1.4, 35.0  # of HPLFlowNet's KITTI: y (up) below which is ground, depth; metres
MAPPING = "KITTI_mapping.txt"


@dataclass(frozen=True, kw_only=True)
class PointPair:
    """flow: of the first cloud's points.  counted: which of them an evaluation counts."""

    clouds: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "m 3"]]
    flow: Float[np.ndarray, "n 3"]
    counted: Bool[np.ndarray, " n"]
    camera: Camera
    name: str


def drop_unusable(pair: PointPair, file: Path) -> PointPair:
    """Without points that are no numbers, lie behind the camera or have no flow, which it says.
    InputError names the file or folder where a cloud has no others."""
    kept = [np.isfinite(cloud).all(axis=1) & (cloud[:, 2] > 0) for cloud in pair.clouds]
    kept[0] &= np.isfinite(pair.flow).all(axis=1)
    for number, mask in enumerate(kept, 1):
        if not mask.any():
            raise InputError(
                f"{file}: none of {len(mask)} points of cloud {number} can be used; expected "
                "numbers, before the camera, with flow"
            )
    dropped = sum(int((~mask).sum()) for mask in kept)
    if not dropped:
        return pair
    note(file, "points that are no numbers or not before the camera left out", f"{dropped}")
    return replace(
        pair,
        clouds=(pair.clouds[0][kept[0]], pair.clouds[1][kept[1]]),
        flow=pair.flow[kept[0]],
        counted=pair.counted[kept[0]],
    )


def draw_pair(pair: PointPair, count: int, draws: np.random.RandomState) -> PointPair:
    """`count` points of each cloud, the first one's with their truth; with repetitions, which it
    says, where there are fewer."""
    fewest = min(len(cloud) for cloud in pair.clouds)
    if fewest < count:
        note_repeated(pair.name, fewest, count)
    first, second = (draw(len(cloud), count, draws) for cloud in pair.clouds)
    return PointPair(
        clouds=(pair.clouds[0][first], pair.clouds[1][second]),
        flow=pair.flow[first],
        counted=pair.counted[first],
        camera=pair.camera,
        name=pair.name,
    )


class _Files(FileRecords):
    """Files below `root`, in the order of their names."""

    root: Path

    def _found(self, pattern: str, expected: str) -> tuple[Path, ...]:
        found = tuple(sorted(self.root.glob(pattern)))
        if not found:
            raise InputError(f"{self.root}: no clouds, expected files such as {expected}")
        return found


@dataclass(frozen=True)
class Corresponding(_Files):
    """HPLFlowNet's: ROOT/*/pc1.npy and pc2.npy, point by point, of FlyingThings3D with x and z the
    other way round.

    cameras: of every record, or one for all.  of_kitti: ground and far points leave, and folders
    for which ROOT/KITTI_mapping.txt, where it is there, has an empty line.
    """

    root: Path
    cameras: tuple[Camera, ...]
    of_kitti: bool = False

    @cached_property
    def paths(self) -> tuple[Path, ...]:  # type: ignore[override]
        found, mapping = self._found("*/pc1.npy", "0000000/pc1.npy"), self.root / MAPPING
        if not self.of_kitti or not mapping.is_file():
            return found
        lines = read_lines(mapping)
        numbers = {file: file.parent.name for file in found}
        for file, number in numbers.items():
            if not number.isdecimal() or int(number) >= len(lines):
                raise InputError(f"{file.parent}: no line of {mapping} is about it")
        kept = tuple(file for file, number in numbers.items() if lines[int(number)].strip())
        if not kept:
            raise InputError(f"{mapping}: names none of the clouds in {self.root}")
        return kept

    def name(self, index: int) -> str:
        return self.paths[index].parent.name

    def __getitem__(self, index: int) -> PointPair:
        file, signs = self.paths[index], (1, 1, 1) if self.of_kitti else (-1, 1, -1)
        first, second = (
            points_of(path, read_arrays(path), "") * np.asarray(signs, np.float32)
            for path in (file, file.with_name("pc2.npy"))
        )
        if first.shape != second.shape:
            raise InputError(f"{file.parent}: {len(first)} and {len(second)} points, not as many")
        known = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
        if self.of_kitti:
            ground = (first[:, 1] < GROUND) & (second[:, 1] < GROUND)
            kept = ~ground & (first[:, 2] < FARTHEST) & (second[:, 2] < FARTHEST)
            first, second = first[kept | ~known], second[kept | ~known]
        pair = PointPair(
            clouds=(first, second),
            flow=second - first,
            counted=np.ones(len(first), bool),
            camera=self.cameras[index % len(self.cameras)],
            name=self.name(index),
        )
        return drop_unusable(pair, file.parent)


@dataclass(frozen=True)
class Hidden(_Files):
    """FlowNet3D's: ROOT/*.npz. FlyingThings3D: points1, points2, flow, valid_mask1 (of the points
    that count). KITTI: pos1, pos2, gt, where all do."""

    root: Path
    cameras: tuple[Camera, ...]
    of_kitti: bool = False

    @cached_property
    def paths(self) -> tuple[Path, ...]:  # type: ignore[override]
        return self._found("*.npz" if self.of_kitti else "TEST*.npz", "TEST_A_0000.npz")

    def name(self, index: int) -> str:
        return self.paths[index].stem

    def __getitem__(self, index: int) -> PointPair:
        file = self.paths[index]
        arrays = read_arrays(file)
        keys = ("pos1", "pos2", "gt") if self.of_kitti else ("points1", "points2", "flow")
        first, second, flow = (points_of(file, arrays, key) for key in keys)
        if flow.shape != first.shape:
            raise InputError(f"{file}: {len(flow)} of {keys[2]} for {len(first)} points")
        counted = np.ones(len(first), bool)
        if self.of_kitti:
            first, second, flow = (x[:, KITTI_AXES] for x in (first, second, flow))
        else:
            mask = np.asarray(arrays.get("valid_mask1", 0)).reshape(-1)
            if mask.shape != (len(first),):
                raise InputError(f"{file}: expected valid_mask1 for {len(first)} points")
            if mask.dtype.kind not in "buif" or not np.isfinite(mask).all():
                raise InputError(f"{file}: expected numbers or truths in valid_mask1")
            counted = mask.astype(bool)
        pair = PointPair(
            clouds=(first, second),
            flow=flow,
            counted=counted,
            camera=self.cameras[index % len(self.cameras)],
            name=self.name(index),
        )
        return drop_unusable(pair, file)


def points_of(file: Path, arrays: Mapping[str, Any], key: str) -> Float[np.ndarray, "n 3"]:
    """An array [n, 3] of a file. InputError where it is none."""
    array = np.asarray(arrays.get(key, 0))
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind != "f":
        raise InputError(f"{file}: expected floats [n, 3] {key}, got shape {array.shape}")
    if not np.isfinite(array).all(axis=1).any():
        raise InputError(f"{file}: none of {len(array)} points has numbers in {key or 'the array'}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is no number
        return array.astype(np.float32)
