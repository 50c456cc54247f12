"""From a pair of pictures to what an RGB-D network sees: one crop and one flip for both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxvision.data.crops import Box, resized_crop_box
from jaxvision.data.source import Sample

SquarePair = tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s 3"]]


@dataclass(frozen=True)
class TrainingPair:
    """A random resized crop (Pillow's antialiased bicubic), measured on the colour picture and the
    same window of both, and one coin for mirroring each inside itself.

    side: of the result, px.  scale: share of the area.  aspect: width/height.  flip: probability.
    """

    side: int
    scale: tuple[float, float]
    aspect: tuple[float, float]
    flip: float

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator, bucket: str) -> Sample:
        rgb, depth = as_pictures(record)
        box = resized_crop_box(rng, rgb.height, rgb.width, self.scale, self.aspect)
        return sample_of(record, self.cut(rgb, depth, box, rng.random() < self.flip))

    def cut(self, rgb: Image.Image, depth: Image.Image, box: Box, mirrored: bool) -> SquarePair:
        """Both pictures' insides of `box`, resized."""
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)

        def one(picture: Image.Image) -> UInt8[np.ndarray, "s s 3"]:
            # A crop first: Pillow's `box` argument would look at pixels beyond the window's edge.
            crop = picture.crop(edges).resize((self.side, self.side), Image.Resampling.BICUBIC)
            pixels = np.asarray(crop)
            return pixels[:, ::-1] if mirrored else pixels

        return one(rgb), one(depth)


@dataclass(frozen=True)
class EvaluationPair:
    """The whole pair resized at once as one canvas (bilinear, antialiased; aspect not kept): as
    published, both pictures mix a little at the seam."""

    side: int

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator, bucket: str) -> Sample:
        return sample_of(record, self.resized(*as_pictures(record)))

    def resized(self, rgb: Image.Image, depth: Image.Image) -> SquarePair:
        canvas = Image.new("RGB", (rgb.width + depth.width, rgb.height))
        canvas.paste(rgb, (0, 0))
        canvas.paste(depth, (rgb.width, 0))
        pixels = np.asarray(canvas.resize((2 * self.side, self.side), Image.Resampling.BILINEAR))
        return pixels[:, : self.side], pixels[:, self.side :]


def as_pictures(record: Mapping[str, Any]) -> tuple[Image.Image, Image.Image]:
    """(RGB, HHA) of a record of pictures or of arrays."""
    rgb, depth = (
        picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        for picture in (record["rgb"], record["depth"])
    )
    return rgb, depth


def sample_of(record: Mapping[str, Any], pair: SquarePair) -> Sample:
    """A sample of the batch."""
    rgb, depth = (np.ascontiguousarray(pixels) for pixels in pair)
    return {"rgb": rgb, "depth": depth, "label": np.int32(record["label"])}
