"""Clips of photographs under a moving camera, for networks that learn from video."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from jaxvision.data import pictures
from jaxvision.data.camera import MOTIONS, draw_path
from jaxvision.data.video import SUFFIXES as VIDEOS
from jaxvision.data.video import Video

# Of the files that `clip_of_file` reads.
SUFFIXES = (*pictures.SUFFIXES, *VIDEOS)


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
        size = picture[0].size
        path = draw_path(rng, motion, size, self.image_size, speed=self.speed, reach=self.reach)
        return path.clip(picture, list(np.linspace(0, 1, self.frames)))


def clip_of_file(
    path: Path, frames: int, size: tuple[int, int], seed: int
) -> UInt8[np.ndarray, "t h w 3"]:
    """A file as a clip of `frames` frames of `size` (height, width): a picture under a moving
    camera, a video's frames at equal distances, cut to the shape. InputError where unreadable."""
    if path.suffix.lower() in pictures.SUFFIXES:
        camera = CameraClip(frames, size, 0.5, (0.5, 1.0))
        return camera(pictures.read_pyramid(path), np.random.default_rng(seed), "")["video"]
    with Video(path) as file:
        read = file.frames(np.linspace(0, len(file) - 1, frames).round().astype(int))
    height, width = size
    fitted = (
        ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.BICUBIC)
        for frame in read
    )
    return np.stack([np.asarray(picture) for picture in fitted])
