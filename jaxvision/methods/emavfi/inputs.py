"""From records to what a training step sees: `frames` (first, target, last) and `time`.

The published augmentation is geometry, channel order and time; no colour, no scale.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from jaxvision.data import frame_interpolation, pictures
from jaxvision.data.camera import MOTIONS, draw_path
from jaxvision.data.source import Repeated, Source
from jaxvision.errors import InputError, nearest
from jaxvision.training.task import BatchSpecs

# Between two frames of a camera at rest there is nothing to interpolate.
MOVING = tuple(motion for motion in MOTIONS if motion != "static")

Frames = UInt8[np.ndarray, "n h w 3"]

DATASETS = ("camera", "folders", "vimeo_septuplets", "vimeo_triplets")
# The Laplacian pyramid halves five times, and reflects two pixels at the coarsest level.
CROP_DIVISOR, SMALLEST_CROP = 32, 64


def crops(config: ConfigDict) -> dict[str, tuple[int, int]]:
    """{bucket: (height, width)} of the crops to train on, one bucket a size."""
    sizes = {f"{height}x{width}": (height, width) for height, width in config.data.crops}
    for name, size in sizes.items():
        if min(size) < SMALLEST_CROP or any(side % CROP_DIVISOR for side in size):
            raise InputError(
                f"data.crops: {name} has a side below {SMALLEST_CROP} or none of the multiples of "
                f"{CROP_DIVISOR} that the loss needs"
            )
    return sizes


def training_specs(config: ConfigDict) -> BatchSpecs:
    size = config.train.batch_size
    return {
        bucket: {
            "frames": jax.ShapeDtypeStruct((size, 3, *crop, 3), jnp.uint8),
            "time": jax.ShapeDtypeStruct((size,), jnp.float32),
        }
        for bucket, crop in crops(config).items()
    }


def training_source(config: ConfigDict, split: str = "train") -> Source:
    """Where frames to train on come from; `data.name` is one of DATASETS.

    folders: `data.root` holds one folder of frames (in order of name) per clip.
    camera: the built-in photographs, or those in `data.root`, under a moving camera.
    """
    data, any_time = config.data, config.model.any_time
    sizes = crops(config)
    if data.name == "camera":
        found = pictures.folder(data.root) if data.root else pictures.built_in(split)
        records = Repeated(found, data.clips)
        transform = CameraCrop(sizes, any_time, data.speed)
        return Source(records, config.train.batch_size, transform)
    if data.name == "vimeo_triplets":
        files = frame_interpolation.vimeo_triplets(data.root, split)
    elif data.name == "vimeo_septuplets":
        files = frame_interpolation.vimeo_septuplets(data.root, split)
    elif data.name == "folders":
        files = frame_interpolation.frame_folders(data.root, 7 if any_time else 3)
    else:
        raise InputError(f"data.name {data.name!r}{nearest(data.name, DATASETS)}")
    return Source(files, config.train.batch_size, FrameCrop(sizes, any_time))


@dataclass(frozen=True)
class FrameCrop:
    """Consecutive frames -> an augmented crop of three of them.

    any_time: three of all frames, at the time they have; otherwise first, middle and last.
    """

    crops: dict[str, tuple[int, int]]
    any_time: bool

    def __call__(self, record: dict[str, Any], rng: np.random.Generator, bucket: str) -> dict:
        frames = record["frames"]
        if self.any_time:
            chosen, time = pick_three(rng, len(frames))
        else:
            chosen, time = (0, len(frames) // 2, len(frames) - 1), 0.5
        return augmented_sample(frames[list(chosen)], time, self.crops[bucket], rng)


@dataclass(frozen=True)
class CameraCrop:
    """A photograph -> what a moving camera sees at time 0, in between, and at time 1."""

    crops: dict[str, tuple[int, int]]
    any_time: bool
    speed: float

    def __call__(self, record: pictures.Pyramid, rng: np.random.Generator, bucket: str) -> dict:
        time = float(rng.uniform(0.1, 0.9)) if self.any_time else 0.5
        crop = self.crops[bucket]
        frames = self.frames(record, rng, crop, time)
        return augmented_sample(frames, time, crop, rng)

    def frames(
        self,
        picture: pictures.Pyramid,
        rng: np.random.Generator,
        size: tuple[int, int],
        time: float,
    ) -> UInt8[np.ndarray, "3 h w 3"]:
        """(first, target, last) in BGR along a random path."""
        motion = str(rng.choice(MOVING))
        speed = self.speed * rng.uniform(0.5, 1.5)
        path = draw_path(rng, motion, picture[0].size, size, speed)
        return path.clip(picture, (0.0, time, 1.0))[..., ::-1]


def augmented_sample(
    frames: UInt8[np.ndarray, "3 h w 3"],
    time: float,
    crop: tuple[int, int],
    rng: np.random.Generator,
) -> dict:
    frames, time = augment(frames, time, crop, draw(rng, frames.shape[1:3], crop))
    return {"frames": frames, "time": np.float32(time)}


class Draw(NamedTuple):
    """One sample's choices. top, left: of the crop.  turns: quarter turns clockwise."""

    top: int
    left: int
    reverse_channels: bool
    swap: bool
    flip_vertical: bool
    flip_horizontal: bool
    turns: int


def draw(rng: np.random.Generator, size: tuple[int, int], crop: tuple[int, int]) -> Draw:
    """Each choice by itself with probability 1/2, the four turns alike (two for an oblong crop)."""
    if size[0] < crop[0] or size[1] < crop[1]:
        raise InputError(f"frames of {size[1]}x{size[0]} are smaller than {crop[1]}x{crop[0]}")
    turns = int(rng.integers(4)) if crop[0] == crop[1] else 2 * int(rng.integers(2))
    top = int(rng.integers(size[0] - crop[0] + 1))
    left = int(rng.integers(size[1] - crop[1] + 1))
    reverse, swap, vertical, horizontal = (bool(choice) for choice in rng.integers(2, size=4))
    return Draw(
        top=top,
        left=left,
        reverse_channels=reverse,
        swap=swap,
        flip_vertical=vertical,
        flip_horizontal=horizontal,
        turns=turns,
    )


def augment(
    frames: Frames, time: float, crop: tuple[int, int], choice: Draw
) -> tuple[Frames, float]:
    """(frames, time) as drawn; frames are (first, target, last).

    Swapping first and last turns time t into 1 - t.
    """
    height, width = crop
    frames = frames[:, choice.top : choice.top + height, choice.left : choice.left + width]
    if choice.reverse_channels:
        frames = frames[..., ::-1]
    if choice.swap:
        frames, time = frames[::-1], 1 - time
    if choice.flip_vertical:
        frames = frames[:, ::-1]
    if choice.flip_horizontal:
        frames = frames[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(frames, -choice.turns, axes=(1, 2))), time


def pick_three(rng: np.random.Generator, frames: int) -> tuple[tuple[int, int, int], float]:
    """Three distinct positions in order, and the time of the middle one (RIFE's rule)."""
    first, middle, last = sorted(int(i) for i in rng.choice(frames, 3, replace=False))
    return (first, middle, last), (middle - first) / (last - first)
