"""Driving (of the Scene Flow data sets, 1512.02134) in its owner's layout, as the conference
version of CamLiFlow reads it.

ROOT/{frames_finalpass,disparity}/LENS/SCENE/SPEED/left/%04d.{png,pfm},
ROOT/disparity_change/LENS/SCENE/SPEED/DIRECTION/left/%04d.pfm and
ROOT/optical_flow/LENS/SCENE/SPEED/DIRECTION/left/OpticalFlowInto{Future,Past}_%04d_L.pfm.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxvision.data.flow_files import read_pfm
from jaxvision.data.picture_files import read_picture
from jaxvision.data.scene_flow.frames import FramePair, check_sizes
from jaxvision.data.scene_flow.geometry import Camera, lift_disparity
from jaxvision.errors import InputError

FOCAL_LENGTHS = {"15mm_focallength": 450.0, "35mm_focallength": 1050.0}  # pixels
CENTRE = (479.5, 269.5)
BASELINE = 1.0
SCENES = ("scene_forwards", "scene_backwards")
SPEEDS = ("fast", "slow")
DIRECTIONS = ("into_future", "into_past")
PAIRS = 299  # of each sequence
FARTHEST = 50.0  # metres
LARGEST_FLOW = 1000.0  # pixels, of either component; what is longer does not count


class Pair(NamedTuple):
    """Frame `number` and its neighbour in time."""

    lens: str
    scene: str
    speed: str
    direction: str
    number: int

    @property
    def neighbour(self) -> int:
        return self.number + (1 if self.direction == "into_future" else -1)


# An epoch of the authors' is 299 pairs, each of a sequence drawn at random; here all are listed.
ALL = tuple(
    Pair(lens, scene, speed, way, number + (way == "into_past"))
    for lens, scene, speed, way in product(FOCAL_LENGTHS, SCENES, SPEEDS, DIRECTIONS)
    for number in range(1, PAIRS + 1)
)


@dataclass(frozen=True)
class Driving:
    """All 4,784 pairs. farthest: points beyond it are left out, in metres."""

    root: Path
    farthest: float = FARTHEST

    def __len__(self) -> int:
        return len(ALL)

    def name(self, index: int) -> str:
        pair = ALL[index]
        return f"{'/'.join(pair[:4])}/{pair.number:04d}"

    def __getitem__(self, index: int) -> FramePair:
        """Record `index`; clouds hold all pixels that are near enough. InputError names a file that
        is missing or does not fit the others."""
        pair = ALL[index]
        sequence, way = Path(*pair[:3]), pair.direction
        numbers = (pair.number, pair.neighbour)
        disparities = self.root / "disparity"
        images = [np.asarray(read_picture(self._picture(pair, n))) for n in numbers]
        first, second = (
            read_disparity(disparities / sequence / f"left/{n:04d}.pfm") for n in numbers
        )
        change = read_grey(
            self.root / "disparity_change" / sequence / way / f"left/{pair.number:04d}.pfm"
        )
        tense = "Future" if way == "into_future" else "Past"
        file = f"OpticalFlowInto{tense}_{pair.number:04d}_L.pfm"
        flow = _read_flow(self.root / "optical_flow" / sequence / way / "left" / file)
        maps = {"picture": images[0], "second picture": images[1], "disparity": first}
        maps |= {"second disparity": second, "disparity_change": change, "optical_flow": flow}
        check_sizes(self.name(index), maps)
        camera = Camera(FOCAL_LENGTHS[pair.lens], *CENTRE)
        start = lift_disparity(first, camera, BASELINE)
        end = lift_disparity(first + change, camera, BASELINE, flow)
        after = lift_disparity(second, camera, BASELINE)
        near = self._near(start) & self._near(end)
        return FramePair(
            images=np.stack(images),
            clouds=(start[near], after[self._near(after)]),
            camera=camera,
            size=first.shape,
            flow_2d=_sparse(flow),
            flow_3d=(end - start)[near],
            name=self.name(index),
        )

    def files(self) -> list[Path]:
        """The first picture of every record."""
        return [self._picture(pair, pair.number) for pair in ALL]

    def _picture(self, pair: Pair, number: int) -> Path:
        return self.root / "frames_finalpass" / Path(*pair[:3]) / f"left/{number:04d}.png"

    def _near(self, points: Float[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
        return np.isfinite(points).all(axis=-1) & (points[..., 2] < self.farthest)


def read_grey(path: Path) -> Float[np.ndarray, "h w"]:
    """A map of one number a pixel. InputError names a file in colour, or one without any number."""
    values = read_pfm(path)
    if values.ndim != 2:
        raise InputError(f"{path}: expected one value a pixel, got colours")
    return _with_numbers(path, values)


def read_disparity(path: Path, sign: int = 1) -> Float[np.ndarray, "h w"]:
    """Disparities, in pixels. sign: -1 where the file holds them negative. InputError names a file
    where none is above 0 then."""
    values = sign * read_grey(path)
    if not (np.isfinite(values) & (values > 0)).any():
        side = "above" if sign > 0 else "below"
        raise InputError(f"{path}: no disparity is {side} 0, as this data set stores them")
    return values


def _read_flow(path: Path) -> Float[np.ndarray, "h w 2"]:
    values = read_pfm(path)
    if values.ndim != 3:
        raise InputError(f"{path}: expected a colour map as flow is stored")
    return _with_numbers(path, values[..., :2])


def _sparse(flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w 3"]:
    """With validity; what is no number becomes 0, since it would spoil a loss even where it does
    not count."""
    valid = (np.abs(flow) < LARGEST_FLOW).all(axis=-1, keepdims=True)
    flow = np.where(np.isfinite(flow), flow, 0)
    return np.concatenate([flow, valid], axis=-1, dtype=np.float32)


def _with_numbers(path: Path, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).any():
        raise InputError(f"{path}: no value is a number")
    return values
