"""RandAugment (1909.13719) with the "increasing" operations, one draw for a whole clip.

A policy is written as in timm: "rand-m7-n4-mstd0.5-inc1" is magnitude 7 with deviation 0.5, four
operations a clip.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps

from jaxvision.errors import InputError

MAX_MAGNITUDE = 10.0
GREY = (128, 128, 128)
_BICUBIC = Image.Resampling.BICUBIC

Apply = Callable[[Image.Image, float], Image.Image]


class Operation(NamedTuple):
    """argument: of a share of the full magnitude in [0, 1].  signed: a coin turns the argument's
    distance from `neutral` around."""

    apply: Apply
    argument: Callable[[float], float] | None = None
    signed: bool = False
    neutral: float = 0.0


def _affine(image: Image.Image, coefficients: tuple[float, ...]) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, coefficients, resample=_BICUBIC, fillcolor=GREY
    )


def _solarize_add(image: Image.Image, amount: float) -> Image.Image:
    """Add to values below the middle of the range."""
    table = [min(255, value + int(amount)) if value < 128 else value for value in range(256)]
    return image.point(table * len(image.getbands()))


def _posterize(image: Image.Image, bits: float) -> Image.Image:
    return image if bits >= 8 else ImageOps.posterize(image, int(bits))


def _enhance(kind: Callable) -> Operation:
    return Operation(
        lambda image, factor: kind(image).enhance(factor), lambda m: 1 + 0.9 * m, True, 1.0
    )


OPERATIONS = {
    "AutoContrast": Operation(lambda image, _: ImageOps.autocontrast(image)),
    "Equalize": Operation(lambda image, _: ImageOps.equalize(image)),
    "Invert": Operation(lambda image, _: ImageOps.invert(image)),
    "Rotate": Operation(
        lambda image, degrees: image.rotate(degrees, resample=_BICUBIC, fillcolor=GREY),
        lambda m: 30 * m,
        signed=True,
    ),
    "PosterizeIncreasing": Operation(_posterize, lambda m: 4 - int(4 * m)),
    "SolarizeIncreasing": Operation(
        lambda image, threshold: ImageOps.solarize(image, int(threshold)),
        lambda m: 256 - int(256 * m),
    ),
    "SolarizeAdd": Operation(_solarize_add, lambda m: int(110 * m)),
    "ColorIncreasing": _enhance(ImageEnhance.Color),
    "ContrastIncreasing": _enhance(ImageEnhance.Contrast),
    "BrightnessIncreasing": _enhance(ImageEnhance.Brightness),
    "SharpnessIncreasing": _enhance(ImageEnhance.Sharpness),
    "ShearX": Operation(
        lambda image, shear: _affine(image, (1, shear, 0, 0, 1, 0)), lambda m: 0.3 * m, signed=True
    ),
    "ShearY": Operation(
        lambda image, shear: _affine(image, (1, 0, 0, shear, 1, 0)), lambda m: 0.3 * m, signed=True
    ),
    "TranslateXRel": Operation(
        lambda image, share: _affine(image, (1, 0, share * image.width, 0, 1, 0)),
        lambda m: 0.45 * m,
        signed=True,
    ),
    "TranslateYRel": Operation(
        lambda image, share: _affine(image, (1, 0, 0, 0, 1, share * image.height)),
        lambda m: 0.45 * m,
        signed=True,
    ),
}


def argument(name: str, magnitude: float, positive: bool = True) -> float | None:
    """The argument of an operation at a magnitude in [0, 10]; None where it takes none."""
    operation = OPERATIONS[name]
    if operation.argument is None:
        return None
    value = operation.argument(magnitude / MAX_MAGNITUDE)
    return value if positive or not operation.signed else 2 * operation.neutral - value


Step = tuple[str, float | None]


@dataclass(frozen=True)
class RandAugment:
    """magnitude, deviation: of the operations' normally drawn magnitude, clipped to [0, 10].
    count: operations a clip, drawn with replacement, each carried out with `probability`."""

    magnitude: float = 7.0
    count: int = 4
    deviation: float = 0.5
    probability: float = 0.5

    @classmethod
    def parse(cls, policy: str) -> "RandAugment":
        """From a name like "rand-m7-n4-mstd0.5-inc1". InputError for what is not understood."""
        kind, *words = policy.split("-")
        found = {}
        for word in words:
            match = re.fullmatch(r"(m|n|mstd|inc)([0-9.]+)", word)
            if match is None:
                raise InputError(f"policy {policy!r}: {word!r} is none of m, n, mstd, inc")
            found[match[1]] = float(match[2])
        if kind != "rand" or not found.get("inc"):
            raise InputError(f"policy {policy!r}: expected rand-m..-n..-mstd..-inc1")
        return cls(found.get("m", 7.0), int(found.get("n", 4)), found.get("mstd", 0.0))

    def draw(self, rng: np.random.Generator) -> list[Step]:
        """What to do to a clip: (operation, argument), in order."""
        steps = []
        for name in rng.choice(list(OPERATIONS), self.count):
            drawn = rng.normal(self.magnitude, self.deviation)
            done, positive = rng.random(2) < (self.probability, 0.5)
            if done:
                magnitude = float(np.clip(drawn, 0, MAX_MAGNITUDE))
                steps.append((str(name), argument(str(name), magnitude, bool(positive))))
        return steps

    def __call__(
        self, frames: UInt8[np.ndarray, "t h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t h w 3"]:
        return apply_steps(frames, self.draw(rng))


def apply_steps(
    frames: UInt8[np.ndarray, "t h w 3"], steps: list[Step]
) -> UInt8[np.ndarray, "t h w 3"]:
    """The same operations with the same arguments on every frame."""
    if not steps:
        return frames
    return np.stack([np.asarray(_apply(Image.fromarray(frame), steps)) for frame in frames])


def _apply(image: Image.Image, steps: list[Step]) -> Image.Image:
    for name, value in steps:
        image = OPERATIONS[name].apply(image, value if value is not None else 0.0)
    return image
