"""Interpolating with a trained network: several times, flow from shrunk frames, augmentation.

All functions are jittable with the model and the settings static; frames are pairs [b, 2, h, w, 3],
BGR in [0, 1].
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.methods.emavfi.extractor import Features
from jaxvision.methods.emavfi.heads import Motion
from jaxvision.methods.emavfi.model import DIVISOR, InterpolationNetwork, Time
from jaxvision.methods.emavfi.padding import Padder
from jaxvision.ops.image_sampling import resize_bilinear

Pair = Float[Array, "b 2 h w 3"]
Frame = Float[Array, "b h w 3"]


@dataclass(frozen=True)
class InferenceSettings:
    """down_scale: flow comes from frames this much smaller (1, 1/2, 1/4), the rest is full size.
    augment: mean with the prediction for the pair turned by 180 degrees.
    divisor: frames are padded to multiples of it; 0 leaves them as they are.
    """

    down_scale: float = 1.0
    augment: bool = False
    divisor: int = 32


def enlarge_motion(motion: Motion, factor: float) -> Motion:
    """Motion of frames that are `factor` times larger."""
    return Motion(
        resize_bilinear(motion.flow, factor) * factor, resize_bilinear(motion.mask, factor)
    )


def shrink_pair(pair: Pair, factor: float) -> Pair:
    """Both frames, bilinear without antialiasing, as the published inference does."""
    small = resize_bilinear(pair.reshape(-1, *pair.shape[2:]), factor)
    return small.reshape(*pair.shape[:2], *small.shape[1:])


class Prepared(NamedTuple):
    """What of a pair does not depend on time; flow is estimated from small, small_features."""

    pair: Pair
    appearance: tuple[Float[Array, "b 2 h w c"], ...]
    small: Pair
    small_features: Features


def prepare(
    model: InterpolationNetwork, variables, pair: Pair, down_scale: float = 1.0
) -> Prepared:
    """Features of a pair, and of the shrunk pair. Sides times `down_scale` are multiples of 16."""
    features = model.apply(variables, pair, method="features")
    if down_scale == 1:
        return Prepared(pair, features.appearance, pair, features)
    small = shrink_pair(pair, down_scale)
    small_features = model.apply(variables, small, method="features")
    return Prepared(pair, features.appearance, small, small_features)


def motion_at(
    model: InterpolationNetwork, variables, prepared: Prepared, t: Time, down_scale: float = 1.0
) -> Motion:
    """Full-size motion at time t."""
    motion = model.apply(variables, prepared.small, prepared.small_features, t, method="motion")[-1]
    return motion if down_scale == 1 else enlarge_motion(motion, 1 / down_scale)


def frame_at(
    model: InterpolationNetwork, variables, prepared: Prepared, motion: Motion, tile: int = 0
) -> Frame:
    """The refined frame. tile: work through parts of this side (a multiple of 16, 0 for the whole
    at once): the memory of warping and refinement is then that of one part and its surroundings."""
    height, width = motion.flow.shape[1:3]
    if not tile or (height <= tile and width <= tile):
        return model.apply(variables, prepared.pair, prepared.appearance, motion, method="refine")[
            0
        ]
    rows, columns = tiles(height, tile), tiles(width, tile)
    parts = jnp.array([(*row, *column) for row in rows for column in columns], jnp.int32)
    view = (min(tile + 2 * HALO, height), min(tile + 2 * HALO, width))
    inner = (min(tile, height), min(tile, width))

    def add(frame: Frame, part: Array) -> tuple[Frame, None]:
        top, start_row, left, start_column = part
        cut = [
            jax.lax.dynamic_slice(x, (0, top, left, 0), (x.shape[0], *view, x.shape[-1]))
            for x in motion
        ]
        answer, _ = model.apply(
            variables, prepared.pair, prepared.appearance, Motion(*cut), top, left, method="refine"
        )
        kept = jax.lax.dynamic_slice(
            answer,
            (0, start_row - top, start_column - left, 0),
            (answer.shape[0], *inner, 3),
        )
        return jax.lax.dynamic_update_slice(frame, kept, (0, start_row, start_column, 0)), None

    frame, _ = jax.lax.scan(add, jnp.zeros((*motion.flow.shape[:3], 3)), parts)
    return frame


# How far an output pixel of the U-Net sees is 77 pixels; parts start at multiples of 16.
HALO = 80


def tiles(size: int, tile: int) -> list[tuple[int, int]]:
    """(start of the part with its surroundings, start of what is kept of it) along one axis.

    Parts lie inside the frame, so an edge of the frame is an edge of its parts.
    """
    view = min(tile + 2 * HALO, size)
    starts = [min(start, max(size - tile, 0)) for start in range(0, size, tile)]
    return [(min(max(start - HALO, 0), size - view), start) for start in starts]


def interpolate_padded(
    model: InterpolationNetwork, variables, pair: Pair, times: Sequence[Time], down_scale: float
) -> list[tuple[Frame, Motion]]:
    """(frame, motion) for every time. Sides times `down_scale` must be multiples of 16."""
    prepared = prepare(model, variables, pair, down_scale)
    answers = []
    for t in times:
        motion = motion_at(model, variables, prepared, t, down_scale)
        answers.append((frame_at(model, variables, prepared, motion), motion))
    return answers


def interpolate(
    model: InterpolationNetwork,
    variables,
    pair: Pair,
    times: Sequence[Time] = (0.5,),
    settings: InferenceSettings = InferenceSettings(),
) -> list[Frame]:
    """The frame at every one of `times`; features are computed once."""
    return [frame for frame, _ in interpolate_with_motion(model, variables, pair, times, settings)]


def interpolate_with_motion(
    model: InterpolationNetwork,
    variables,
    pair: Pair,
    times: Sequence[Time] = (0.5,),
    settings: InferenceSettings = InferenceSettings(),
) -> list[tuple[Frame, Motion]]:
    """(frame, motion) at every one of `times`. The motion is that of the pair as given, also where
    the frame is a mean with the turned pair."""
    padder = padder_for(pair.shape[2], pair.shape[3], settings)
    padded = padder.pad(pair)
    run = functools.partial(
        interpolate_padded, model, variables, times=times, down_scale=settings.down_scale
    )
    if settings.augment:
        answers = augmented(run, padded)
    else:
        answers = run(padded)
    return [
        (padder.unpad(frame), Motion(padder.unpad(motion.flow), padder.unpad(motion.mask)))
        for frame, motion in answers
    ]


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


def with_turned(pair: Pair) -> Float[Array, "b2 2 h w 3"]:
    """Each pair followed by itself turned by 180 degrees."""
    both = jnp.stack([pair, pair[:, :, ::-1, ::-1]], axis=1)
    return both.reshape(-1, *pair.shape[1:])


def mean_with_turned(frames: Float[Array, "b2 h w 3"]) -> Frame:
    """Mean of a prediction and the turned-back prediction of the turned pair."""
    plain, turned = jnp.moveaxis(frames.reshape(-1, 2, *frames.shape[1:]), 1, 0)
    return (plain + turned[:, ::-1, ::-1]) / 2


def augmented(run: Callable, pair: Pair) -> list[tuple[Frame, Motion]]:
    """`run` on each pair and its turned twin as one batch; frames are not swapped, so t stays."""
    return [
        (mean_with_turned(frames), jax.tree.map(lambda x: x[::2], motion))
        for frames, motion in run(with_turned(pair))
    ]
