"""The network behind a plain call: two 8-bit frames and times in, 8-bit frames out."""

import functools
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxvision.methods.emavfi import inference
from jaxvision.methods.emavfi.heads import Motion
from jaxvision.methods.emavfi.inference import InferenceSettings, Prepared
from jaxvision.methods.emavfi.inputs import to_unit
from jaxvision.methods.emavfi.model import InterpolationNetwork

Image = UInt8[np.ndarray, "h w 3"]
# Halving reaches times like 3/16; finer ones are asked of the network directly.
DEEPEST_HALVING = 16


class Answer(NamedTuple):
    """image: BGR.  flow: pixels, as the network's.  mask: frame 0's share, [0, 1]."""

    image: Image
    flow: Float[np.ndarray, "h w 4"]
    mask: Float[np.ndarray, "h w 1"]


class Interpolator:
    """Compiled once per frame size. BGR frames of equal size in, BGR out.

    any_time: False for weights trained at t = 0.5 alone: other times are then reached by halving
        again and again; where halving does not reach them the network is asked, with a warning.
    tile: side of the parts that warping and refinement work through; 0 for the whole frame.
    """

    def __init__(
        self,
        model: InterpolationNetwork,
        variables,
        settings: InferenceSettings,
        any_time: bool,
        tile: int = 0,
    ):
        self.any_time, self._variables = any_time, variables
        self._warned = False
        augment, down_scale = settings.augment, settings.down_scale

        @functools.partial(jax.jit, static_argnames="size")
        def prepare(variables, frames: UInt8[Array, "2 h w 3"], size: tuple[int, int]) -> Prepared:
            pair = inference.padder_for(*size, settings).pad(to_unit(frames)[None])
            if augment:
                pair = inference.with_turned(pair)
            return inference.prepare(model, variables, pair, down_scale)

        @functools.partial(jax.jit, static_argnames="size")
        def answer(variables, prepared: Prepared, t, size: tuple[int, int]):
            padder = inference.padder_for(*size, settings)
            motion = inference.motion_at(model, variables, prepared, t, down_scale)
            frame = inference.frame_at(model, variables, prepared, motion, tile)
            if augment:
                frame = inference.mean_with_turned(frame)
            image = jnp.round(padder.unpad(frame)[0] * 255).astype(jnp.uint8)
            return image, Motion(padder.unpad(motion.flow)[0], padder.unpad(motion.mask)[0])

        self._prepare, self._answer = prepare, answer

    def between(self, first: Image, last: Image, times: Sequence[Fraction]) -> list[Image]:
        """The frames at `times`, each in (0, 1), in the order asked."""
        if self.any_time or not all(_halvable(t) for t in times):
            return [answer.image for answer in self.answers(first, last, times)]
        known = {Fraction(0): first, Fraction(1): last}
        for t in times:
            self._halve_to(t, known)
        return [known[t] for t in times]

    def answers(self, first: Image, last: Image, times: Sequence[Fraction]) -> list[Answer]:
        """Frame, flow and mask at `times`, straight from the network."""
        if not self.any_time and any(t != Fraction(1, 2) for t in times) and not self._warned:
            self._warned = True
            warnings.warn(
                "these weights are trained for t = 0.5 alone (model.any_time is False): frames at "
                "other times will not follow t",
                stacklevel=2,
            )
        size = first.shape[:2]
        prepared = self._prepare(self._variables, np.stack([first, last]), size)
        found = []
        for t in times:
            image, motion = self._answer(self._variables, prepared, np.float32(t), size)
            mask = jax.nn.sigmoid(motion.mask)
            found.append(Answer(np.asarray(image), np.asarray(motion.flow), np.asarray(mask)))
        return found

    def _halve_to(self, t: Fraction, known: dict[Fraction, Image]) -> None:
        low, high = Fraction(0), Fraction(1)
        while t not in known:
            middle = (low + high) / 2
            if middle not in known:
                half = (Fraction(1, 2),)
                known[middle] = self.answers(known[low], known[high], half)[0].image
            low, high = (low, middle) if t < middle else (middle, high)


def _halvable(t: Fraction) -> bool:
    return DEEPEST_HALVING % t.denominator == 0
