"""From records to clips, and from clips to what the network sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict
from PIL import Image

from jaxvision.data import pictures
from jaxvision.data.camera import KINDS, MOTIONS, draw_path
from jaxvision.data.source import Source
from jaxvision.errors import InputError, nearest
from jaxvision.training.task import BatchSpecs

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
DATASETS = ("camera", "videos")


def to_unit(video: UInt8[Array, "*b t h w 3"]) -> Float[Array, "*b t h w 3"]:
    """Pixel values in [0, 1], float32."""
    return video.astype(jnp.float32) / 255


def normalise(video: UInt8[Array, "*b t h w 3"]) -> Float[Array, "*b t h w 3"]:
    """Pixels less the ImageNet mean, over its deviation, float32."""
    return (to_unit(video) - IMAGENET_MEAN) / IMAGENET_STD


def crop_and_resize(
    frame: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of `box` (left, top, right, bottom) as `size` (height, width).

    Pillow's bilinear, antialiased where it shrinks, as in the published preprocessing.
    """
    height, width = size
    return np.asarray(frame.crop(box).resize((width, height), Image.Resampling.BILINEAR))


def pretraining_source(config: ConfigDict, split: str) -> Source:
    """Clips (`video`, uint8 [t, h, w, 3]) to pretrain on."""
    data = config.data
    if data.name not in DATASETS:
        raise InputError(f"data.name {data.name!r}{nearest(data.name, DATASETS)}")
    found = pictures.folder(data.root) if data.root else pictures.built_in(split)
    records = Repeated(found, data.clips)
    return Source(records, config.train.batch_size, CameraClip.of(config))


def labelled_source(config: ConfigDict) -> tuple[Source, BatchSpecs]:
    """Clips of every built-in photograph and kind of camera motion for a probe, and their batches.

    Fields: `video`; `label`, the kind's number in KINDS; `held_out`, whether the photograph is one
    that is never trained on.
    """
    records = LabelledClips(pictures.built_in("train"), pictures.built_in("held_out"))
    size = config.train.batch_size
    model = config.model
    video = (size, model.frames, *model.image_size, 3)
    specs = {
        "clips": {
            "video": jax.ShapeDtypeStruct(video, jnp.uint8),
            "label": jax.ShapeDtypeStruct((size,), jnp.int32),
            "held_out": jax.ShapeDtypeStruct((size,), jnp.bool_),
        }
    }
    clip = CameraClip.of(config)

    def transform(record: Mapping[str, Any], rng: np.random.Generator, bucket: str) -> dict:
        motion = str(rng.choice(tuple(KINDS.values())[record["label"]]))
        video = clip.draw(record["picture"], rng, motion)
        return {
            "video": video,
            "label": np.int32(record["label"]),
            "held_out": np.bool_(record["held_out"]),
        }

    return Source(records, size, transform), specs


@dataclass(frozen=True)
class Repeated:
    """`records` over and over, `count` in all: one epoch sees a picture from many paths."""

    records: pictures.Pictures
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> pictures.Pyramid:
        return self.records[index % len(self.records)]

    def name(self, index: int) -> str:
        return self.records.name(index % len(self.records))


@dataclass(frozen=True)
class CameraClip:
    """A random camera path over a picture, as a clip."""

    frames: int
    image_size: tuple[int, int]
    speed: float
    reach: tuple[float, float]

    @classmethod
    def of(cls, config: ConfigDict) -> "CameraClip":
        model, data = config.model, config.data
        return cls(model.frames, tuple(model.image_size), data.speed, tuple(data.reach))

    def __call__(self, record: pictures.Pyramid, rng: np.random.Generator, bucket: str) -> dict:
        return {"video": self.draw(record, rng, str(rng.choice(MOTIONS)))}

    def draw(
        self, picture: pictures.Pyramid, rng: np.random.Generator, motion: str
    ) -> UInt8[np.ndarray, "t h w 3"]:
        path = draw_path(rng, motion, picture[0].size, self.image_size, self.speed, self.reach)
        return path.clip(picture, list(np.linspace(0, 1, self.frames)))


@dataclass(frozen=True)
class LabelledClips:
    """Every kind of motion over every photograph, `repeats` paths each; held-out ones last."""

    training: pictures.Pictures
    held_out: pictures.Pictures
    repeats: int = 16

    def __len__(self) -> int:
        return (len(self.training) + len(self.held_out)) * len(KINDS) * self.repeats

    def __getitem__(self, index: int) -> dict[str, Any]:
        photograph, place = divmod(index, len(KINDS) * self.repeats)
        held_out = photograph >= len(self.training)
        chosen = self.held_out if held_out else self.training
        return {
            "picture": chosen[photograph - len(self.training) * held_out],
            "label": place % len(KINDS),
            "held_out": held_out,
        }

    def name(self, index: int) -> str:
        photograph, place = divmod(index, len(KINDS) * self.repeats)
        if photograph < len(self.training):
            picture = self.training.name(photograph)
        else:
            picture = self.held_out.name(photograph - len(self.training))
        return f"{picture} ({tuple(KINDS)[place % len(KINDS)]})"
