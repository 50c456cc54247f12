"""Interpolating with a trained network: any times, shrunk flow, augmentation, tiles.

There is one path to a frame: `encode_pair` computes what does not depend on time, `frame_at` the
frame of one time. Both are jittable with model, size and settings static; pairs are
[b, 2, h, w, 3], BGR in [0, 1]. `interpolate` is the two in one program; `Interpolator` compiles
them apart, so that a frame size compiles once, however many times are asked for.
"""

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxvision.data.normalisation import to_unit
from jaxvision.methods.emavfi.extractor import Features
from jaxvision.methods.emavfi.model import DIVISOR, InterpolationNetwork, Motion, Time
from jaxvision.ops.image_sampling import resize_bilinear
from jaxvision.ops.padding import Padder

Pair = Float[Array, "b 2 h w 3"]
Frame = Float[Array, "b h w 3"]
Image = UInt8[np.ndarray, "h w 3"]
# How far an output pixel of the U-Net sees is 77 pixels; parts start at multiples of 16.
HALO = 80
# Halving reaches times like 3/16; finer ones are asked of the network directly.
DEEPEST_HALVING = 16


@dataclass(frozen=True)
class InferenceSettings:
    """down_scale: flow comes from frames this much smaller (1, 1/2, 1/4), the rest is full size.
    augment: mean with the prediction for the pair turned by 180 degrees.
    divisor: frames are padded to multiples of it; 0 leaves them as they are.
    tile: side of the parts that warping and refinement work through (a multiple of 16); 0 for the
        whole frame at once.
    """

    down_scale: float = 1.0
    augment: bool = False
    divisor: int = 32
    tile: int = 0


def padder_for(height: int, width: int, settings: InferenceSettings) -> Padder:
    """The padding of a frame. Shrunk sides must be multiples of 16 too: where the published divisor
    does not give that, it is doubled (no size of a benchmark needs it)."""
    divisor = settings.divisor
    if not divisor:
        return Padder(0, 0, 0, 0)
    while any(
        (-(-side // divisor) * divisor * settings.down_scale) % DIVISOR for side in (height, width)
    ):
        divisor *= 2
    return Padder.for_size(height, width, divisor)


class EncodedPair(NamedTuple):
    """What of a pair does not depend on time, padded, with its turned twin where augmented.

    Flow is estimated from `small` and `small_features`, the shrunk pair (or the pair itself).
    """

    pair: Pair
    appearance: tuple[Float[Array, "b 2 h w c"], ...]
    small: Pair
    small_features: Features


def encode_pair(
    model: InterpolationNetwork, variables, pair: Pair, settings: InferenceSettings
) -> EncodedPair:
    """Features of a pair, and of the shrunk pair. Padded sides times `down_scale` must be multiples
    of 16."""
    pair = padder_for(pair.shape[2], pair.shape[3], settings).pad(pair)
    if settings.augment:
        pair = with_turned(pair)
    features = model.apply(variables, pair, method="features")
    if settings.down_scale == 1:
        return EncodedPair(pair, features.appearance, pair, features)
    # Bilinear without antialiasing, as the published inference does.
    small = resize_bilinear(pair.reshape(-1, *pair.shape[2:]), settings.down_scale)
    small = small.reshape(*pair.shape[:2], *small.shape[1:])
    small_features = model.apply(variables, small, method="features")
    return EncodedPair(pair, features.appearance, small, small_features)


def frame_at(
    model: InterpolationNetwork,
    variables,
    encoded: EncodedPair,
    t: Time,
    *,
    size: tuple[int, int],
    settings: InferenceSettings,
) -> tuple[Frame, Motion]:
    """The frame at time t and its motion, cut back to `size`, the (height, width) of the pair.

    t: one number, or one a sample. The motion is that of the pair as given, also where the frame is
    a mean with the turned pair.
    """
    if settings.augment and jnp.ndim(t):
        t = jnp.repeat(t, 2)  # frames are not swapped by the turn: the twin has the same time
    motion = model.apply(variables, encoded.small, encoded.small_features, t, method="motion")[-1]
    if settings.down_scale != 1:
        factor = 1 / settings.down_scale
        flow, mask = (resize_bilinear(x, factor) for x in motion)
        motion = Motion(flow * factor, mask)
    frame = refined(model, variables, encoded, motion, settings.tile)
    if settings.augment:
        frame = mean_with_turned(frame)
        motion = jax.tree.map(lambda x: x[::2], motion)
    padder = padder_for(*size, settings)
    return padder.unpad(frame), Motion(padder.unpad(motion.flow), padder.unpad(motion.mask))


def interpolate(
    model: InterpolationNetwork,
    variables,
    pair: Pair,
    times: Sequence[Time] = (0.5,),
    settings: InferenceSettings = InferenceSettings(),
) -> list[Frame]:
    """The frame at every one of `times`; features are computed once."""
    encoded = encode_pair(model, variables, pair, settings)
    size = pair.shape[2], pair.shape[3]
    at = functools.partial(frame_at, model, variables, encoded, size=size, settings=settings)
    return [at(t)[0] for t in times]


def with_turned(pair: Pair) -> Float[Array, "b2 2 h w 3"]:
    """Each pair followed by itself turned by 180 degrees."""
    both = jnp.stack([pair, pair[:, :, ::-1, ::-1]], axis=1)
    return both.reshape(-1, *pair.shape[1:])


def mean_with_turned(frames: Float[Array, "b2 h w 3"]) -> Frame:
    """Mean of a prediction and the turned-back prediction of the turned pair."""
    plain, turned = jnp.moveaxis(frames.reshape(-1, 2, *frames.shape[1:]), 1, 0)
    return (plain + turned[:, ::-1, ::-1]) / 2


def refined(
    model: InterpolationNetwork, variables, encoded: EncodedPair, motion: Motion, tile: int
) -> Frame:
    """The refined frame of full-size motion. With a tile, the memory of warping and refinement is
    that of one part and its surroundings."""
    refine = functools.partial(
        model.apply, variables, encoded.pair, encoded.appearance, method="refine"
    )
    height, width = motion.flow.shape[1:3]
    if not tile or (height <= tile and width <= tile):
        return refine(motion)[0]
    rows, columns = tiles(height, tile), tiles(width, tile)
    parts = jnp.array([(*row, *column) for row in rows for column in columns], jnp.int32)
    view = (min(tile + 2 * HALO, height), min(tile + 2 * HALO, width))
    inner = (min(tile, height), min(tile, width))

    def add(frame: Frame, part: Array) -> tuple[Frame, None]:
        # 1. The motion of the part and its surroundings, and their frame.
        top, start_row, left, start_column = part
        cut = [
            jax.lax.dynamic_slice(x, (0, top, left, 0), (x.shape[0], *view, x.shape[-1]))
            for x in motion
        ]
        seen, _ = refine(Motion(*cut), top=top, left=left)
        # 2. The part alone, put in its place.
        start = (0, start_row - top, start_column - left, 0)
        kept = jax.lax.dynamic_slice(seen, start, (seen.shape[0], *inner, 3))
        return jax.lax.dynamic_update_slice(frame, kept, (0, start_row, start_column, 0)), None

    frame, _ = jax.lax.scan(add, jnp.zeros((*motion.flow.shape[:3], 3)), parts)
    return frame


def tiles(size: int, tile: int) -> list[tuple[int, int]]:
    """(start of the part with its surroundings, start of what is kept of it) along one axis.

    Parts lie inside the frame, so an edge of the frame is an edge of its parts.
    """
    view = min(tile + 2 * HALO, size)
    starts = [min(start, max(size - tile, 0)) for start in range(0, size, tile)]
    return [(min(max(start - HALO, 0), size - view), start) for start in starts]


class Answer(NamedTuple):
    """image: BGR.  flow: pixels, as the network's.  mask: frame 0's share, [0, 1]."""

    image: Image
    flow: Float[np.ndarray, "h w 4"]
    mask: Float[np.ndarray, "h w 1"]


class Interpolator:
    """Compiled once per frame size. 8-bit BGR frames of equal size in, 8-bit BGR out.

    any_time: False for weights trained at t = 0.5 alone: other times are then reached by halving
        again and again; where halving does not reach them the network is asked, with a warning.
    """

    def __init__(
        self,
        model: InterpolationNetwork,
        variables,
        settings: InferenceSettings,
        any_time: bool,
    ):
        self.any_time, self._variables = any_time, variables
        self._warned = False

        @jax.jit
        def encode(variables, frames: UInt8[Array, "2 h w 3"]) -> EncodedPair:
            return encode_pair(model, variables, to_unit(frames)[None], settings)

        @functools.partial(jax.jit, static_argnames="size")
        def answer(variables, encoded: EncodedPair, t, size: tuple[int, int]) -> tuple[Array, ...]:
            frame, motion = frame_at(model, variables, encoded, t, size=size, settings=settings)
            image = jnp.round(frame[0] * 255).astype(jnp.uint8)
            return image, motion.flow[0], jax.nn.sigmoid(motion.mask[0])

        self._encode, self._answer = encode, answer

    def between(self, first: Image, last: Image, times: Sequence[Fraction]) -> list[Image]:
        """The frames at `times`, each in (0, 1), in the order asked."""
        halvable = all(DEEPEST_HALVING % t.denominator == 0 for t in times)
        if self.any_time or not halvable:
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
        encoded = self._encode(self._variables, np.stack([first, last]))
        found = []
        for t in times:
            answer = self._answer(self._variables, encoded, np.float32(t), first.shape[:2])
            found.append(Answer(*(np.asarray(part) for part in answer)))
        return found

    def _halve_to(self, t: Fraction, known: dict[Fraction, Image]) -> None:
        low, high = Fraction(0), Fraction(1)
        while t not in known:
            middle = (low + high) / 2
            if middle not in known:
                half = (Fraction(1, 2),)
                known[middle] = self.answers(known[low], known[high], half)[0].image
            low, high = (low, middle) if t < middle else (middle, high)
