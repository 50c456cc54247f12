"""MPI Sintel with its depths: flow/training/{clean,final,flow}/SCENE and
depth/training/depth/SCENE below one folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxvision.data.flow_files import known, read_dpt, read_flo
from jaxvision.data.picture_files import read_picture
from jaxvision.data.scene_flow.frames import FramePair, check_sizes
from jaxvision.data.scene_flow.geometry import Camera, lift_depth
from jaxvision.errors import InputError

CAMERA = Camera(1500.0, 511.5, 217.5)  # the same for all scenes, as CamLiFlow takes it
NEAREST = 5.0  # where the nearest point of a pair is put
SEED = 0  # of the points that evaluations draw


def bring_near(
    depths: Float[np.ndarray, "2 h w"], points: int, farthest: float
) -> Float[np.ndarray, "2 h w"]:
    """Depths of two frames in a range that the network knows: times 0.1 until each has `points`
    pixels nearer than `farthest`, then shifted so that the nearest of both is at 5.

    InputError where a frame has fewer pixels or depths that are not positive numbers.
    """
    if depths[0].size < points:
        raise InputError(f"{depths[0].size} pixels, expected {points} or more")
    _check_depths("depths", depths)
    depths = depths.astype(np.float32)
    while ((depths < farthest).sum(axis=(1, 2)) < points).any():
        depths = depths * np.float32(0.1)
    return depths - depths.min() + np.float32(NEAREST)


def _check_depths(name: object, depths: Float[np.ndarray, "*d h w"]) -> None:
    bad = ~(np.isfinite(depths) & (depths > 0))
    if bad.any():
        raise InputError(
            f"{name}: expected depths above 0, got {bad.sum()} of {bad.size} that are not"
        )


@dataclass(frozen=True)
class Sintel:
    """All pairs of the training scenes. passes: "clean" or "final".  points, farthest: see
    `bring_near`; farther points are left out."""

    root: Path
    passes: str
    points: int
    farthest: float = 30.0

    @cached_property
    def pairs(self) -> tuple[tuple[str, int], ...]:
        """(scene, number of the first frame). InputError where there are none."""
        folder = self.root / "flow/training/flow"
        files = sorted(folder.glob("*/frame_*.flo"))
        found = [(file.parent.name, file.stem.removeprefix("frame_")) for file in files]
        pairs = tuple((scene, int(number)) for scene, number in found if number.isdecimal())
        if not pairs:
            raise InputError(f"{folder}: no flow, expected files such as alley_1/frame_0001.flo")
        return pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        scene, number = self.pairs[index]
        return f"{scene}/frame_{number:04d}"

    def __getitem__(self, index: int) -> FramePair:
        scene, number = self.pairs[index]
        names = [f"{scene}/frame_{n:04d}" for n in (number, number + 1)]
        pictures = self.root / "flow/training" / self.passes
        pictures_read = [np.asarray(read_picture(pictures / f"{n}.png")) for n in names]
        folder = self.root / "depth/training/depth"
        depths = [self._depth(folder / f"{n}.dpt") for n in names]
        flow = _read_flow(self.root / f"flow/training/flow/{names[0]}.flo")
        maps = {"picture": pictures_read[0], "second picture": pictures_read[1], "flow": flow}
        maps |= {"depth": depths[0], "second depth": depths[1]}
        check_sizes(self.name(index), maps)
        near = bring_near(np.stack(depths), self.points, self.farthest)
        clouds = [
            lift_depth(depth, CAMERA)[depth < max(depth.min() + 1, self.farthest)] for depth in near
        ]
        return FramePair(
            images=np.stack(pictures_read),
            clouds=(clouds[0], clouds[1]),
            camera=CAMERA,
            size=flow.shape[:2],
            flow_2d=flow,
            flow_3d=np.zeros_like(clouds[0]),
            name=self.name(index),
        )

    def _depth(self, file: Path) -> Float[np.ndarray, "h w"]:
        depth = read_dpt(file)
        if depth.size < self.points:
            raise InputError(f"{file}: {depth.size} pixels, expected {self.points} or more")
        _check_depths(file, depth)
        return depth


def _read_flow(file: Path) -> Float[np.ndarray, "h w c"]:
    """u, v and, where it is unknown somewhere, validity. InputError where it is everywhere."""
    flow = read_flo(file)
    found = known(flow)[..., None]
    if not found.any():
        raise InputError(f"{file}: flow is known nowhere")
    if found.all():
        return flow
    return np.concatenate([np.where(found, flow, 0), found], axis=-1, dtype=np.float32)
