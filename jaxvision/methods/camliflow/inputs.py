"""From pairs of frames to what a training step sees: pictures, clouds, camera and truth.

Fields are those that the network has a branch for; see `PairTransform.specs`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxvision.data import pictures
from jaxvision.data.scene_flow import augmentation
from jaxvision.data.scene_flow.augmentation import Jitter
from jaxvision.data.scene_flow.driving import Driving
from jaxvision.data.scene_flow.flying_things import FlyingThings
from jaxvision.data.scene_flow.frames import FramePair, draw_points, drop_unusable
from jaxvision.data.scene_flow.kitti import PADDED, KittiFrames
from jaxvision.data.scene_flow.moving_planes import MovingPlanes
from jaxvision.data.source import Records, Source
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig
from jaxvision.stores.stored_path import path_to
from jaxvision.training.task import BatchSpecs

DATASETS = ("planes", "flyingthings3d", "driving", "kitti")
LEAST_SIDE = 64


@dataclass(frozen=True)
class WithTruth:
    """Records of a part of KITTI that has truth."""

    frames: KittiFrames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> FramePair:
        return self.frames.with_truth(index)

    def name(self, index: int) -> str:
        return self.frames.name(index)

    def files(self) -> list[Path]:
        return self.frames.files()


def moving_planes(
    data: ConfigDict, photographs: pictures.Pictures, count: int, seed: int = 0
) -> MovingPlanes:
    """`count` made-up pairs as the recipe's `data` has them, of these photographs."""
    size = (data.size[0], data.size[1])
    return MovingPlanes(photographs, size, count, planes=data.planes, speed=data.speed, seed=seed)


def training_records(config: ConfigDict) -> Records:
    """The pairs to train on. InputError for an unknown data set, one that is not given, or frames
    of a size that it does not have."""
    data = config.data
    check_choice("unknown data.name", data.name, DATASETS)
    size = (data.size[0], data.size[1])
    if min(size) < LEAST_SIDE:
        raise InputError(f"data.size={size}: expected at least {LEAST_SIDE} pixels a side")
    if data.name == "planes":
        found = pictures.folder(data.root) if data.root else pictures.built_in("train")
        return moving_planes(data, found, data.pairs)
    if not data.root:
        raise InputError(f"data.root: expected the folder of {data.name}, got none")
    root = path_to(data.root)
    if data.name == "flyingthings3d":
        return FlyingThings(root, "train", data.passes)
    if data.name == "driving":
        return Driving(root)
    if size != PADDED:
        raise InputError(f"data.size={size}: expected {PADDED}, which KITTI's pictures fit in")
    return WithTruth(KittiFrames(root, data.split))


@dataclass(frozen=True, kw_only=True)
class PairTransform:
    """A pair, varied as published, with so many points.

    images, points: whether the network has the branch.  count: of points.  size: of the frames.
    seed: of the points that an evaluation draws; None draws others each time.
    jitter: of colours, or None.  flips: along how many axes.  crop: height and width, or None.
    zoom: the largest.
    """

    images: bool
    points: bool
    count: int
    size: tuple[int, int]
    seed: int | None = None
    jitter: Jitter | None = None
    flips: int = 0
    crop: tuple[int, int] | None = None
    zoom: float = 1.0

    def __call__(self, pair: FramePair, rng: np.random.Generator, bucket: str) -> dict[str, Any]:
        given = (pair.images.shape[1], pair.images.shape[2])
        if given != self.size:
            raise InputError(
                f"{pair.name}: frames of {given[0]} x {given[1]} pixels, expected {self.size[0]} x "
                f"{self.size[1]}"
            )
        seed = int(rng.integers(1 << 32)) if self.seed is None else self.seed
        draws = np.random.RandomState(seed)
        pair = self.varied(pair, draws)
        sample: dict[str, Any] = {}
        if self.images:
            flow_2d = np.zeros((*given, 2)) if pair.flow_2d is None else pair.flow_2d
            sample |= {"images": pair.images, "flow_2d": with_validity(flow_2d, 2)}
        if self.points:
            drawn = draw_points(drop_unusable(pair), self.count, draws)
            flow_3d = np.zeros((self.count, 3)) if drawn.flow_3d is None else drawn.flow_3d
            hidden = np.zeros(self.count, bool) if drawn.occluded is None else drawn.occluded
            sample |= {
                "clouds": np.stack(drawn.clouds).astype(np.float32),
                "camera": np.asarray(pair.camera, np.float32),
                "flow_3d": with_validity(flow_3d, 3),
                "occluded": np.asarray(hidden, bool),
            }
        return sample

    def varied(self, pair: FramePair, draws: np.random.RandomState) -> FramePair:
        """Colours, mirrors, crop, zoom, in the published order."""
        if self.jitter is not None:
            steps = augmentation.draw_jitter(self.jitter, draws)
            pair = augmentation.jitter_colours(pair, steps)
        for axis in range(self.flips):
            if draws.rand() < 0.5:
                pair = augmentation.flip(pair, axis)
        if self.crop is not None:
            window = augmentation.draw_crop(self.size, self.crop, draws)
            pair = augmentation.crop(pair, window, drop_points=True)
        if self.zoom > 1 and draws.rand() < 0.5:
            pair = augmentation.zoom(pair, augmentation.draw_zoom(self.seen, self.zoom, draws))
        return pair

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        return self.size if self.crop is None else self.crop

    def specs(self, batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        height, width = self.seen
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {}
        if self.images:
            shapes |= {
                "images": ((2, height, width, 3), jnp.uint8),
                "flow_2d": ((height, width, 3), jnp.float32),
            }
        if self.points:
            shapes |= {
                "clouds": ((2, self.count, 3), jnp.float32),
                "camera": ((3,), jnp.float32),
                "flow_3d": ((self.count, 4), jnp.float32),
                "occluded": ((self.count,), jnp.bool_),
            }
        return {
            name: jax.ShapeDtypeStruct((batch, *shape), dtype)
            for name, (shape, dtype) in shapes.items()
        }


def with_validity(flow: np.ndarray, width: int) -> np.ndarray:
    """Flow of `width` components and whether it is valid, which it is where nothing says so."""
    if flow.shape[-1] == width:
        flow = np.concatenate([flow, np.ones((*flow.shape[:-1], 1))], axis=-1)
    return flow.astype(np.float32)


def training_transform(config: ConfigDict, network: RaftConfig | PwcConfig) -> PairTransform:
    """InputError for a crop that does not fit, and points that the pyramid has more of."""
    task, data = config.task, config.data
    crop, size = tuple(task.crop), (data.size[0], data.size[1])
    if crop and (len(crop) != 2 or crop[0] > size[0] or crop[1] > size[1]):
        raise InputError(f"task.crop={crop}: expected a height and a width within {size}")
    check_points("data.points", data.points, network)
    return PairTransform(
        images=network.images,
        points=network.points,
        count=data.points,
        size=size,
        jitter=Jitter(*task.jitter) if any(task.jitter) else None,
        flips=task.flips,
        crop=(crop[0], crop[1]) if crop else None,
        zoom=task.zoom,
    )


def check_points(name: str, points: int, network: RaftConfig | PwcConfig) -> None:
    """InputError where clouds have no more points than the first level below them."""
    if network.points and points <= network.pyramid[0]:
        raise InputError(f"{name}={points}: expected more than the pyramid's {network.pyramid[0]}")


def training_source(config: ConfigDict, network: RaftConfig | PwcConfig) -> Source:
    transform = training_transform(config, network)
    return Source(training_records(config), config.train.batch_size, transform)


def training_specs(config: ConfigDict, network: RaftConfig | PwcConfig) -> BatchSpecs:
    return {"pairs": training_transform(config, network).specs(config.train.batch_size)}
