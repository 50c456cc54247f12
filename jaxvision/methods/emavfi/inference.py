"""Interpolating with a trained network: several times, flow from shrunk frames, augmentation.

All functions are jittable with the model and the settings static; frames are pairs [b, 2, h, w, 3],
BGR in [0, 1].
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


def prepare_features(
    model: InterpolationNetwork, variables, pair: Pair, down_scale: float = 1.0
) -> tuple[Pair, Features, Features]:
    """What does not depend on time: (frames for flow, their features, full-size features)."""
    features = model.apply(variables, pair, method="features")
    if down_scale == 1:
        return pair, features, features
    small = shrink_pair(pair, down_scale)
    return small, model.apply(variables, small, method="features"), features


def estimate_motion(
    model: InterpolationNetwork, variables, pair: Pair, t: Time, down_scale: float = 1.0
) -> Motion:
    """Flow and mask logits at full size, from frames shrunk by `down_scale`."""
    small = pair if down_scale == 1 else shrink_pair(pair, down_scale)
    features = model.apply(variables, small, method="features")
    motion = model.apply(variables, small, features, t, method="motion")[-1]
    return motion if down_scale == 1 else enlarge_motion(motion, 1 / down_scale)


def interpolate_padded(
    model: InterpolationNetwork, variables, pair: Pair, times: Sequence[Time], down_scale: float
) -> list[tuple[Frame, Motion]]:
    """(frame, motion) for every time. Sides times `down_scale` must be multiples of 16."""
    small, small_features, features = prepare_features(model, variables, pair, down_scale)
    answers = []
    for t in times:
        motion = model.apply(variables, small, small_features, t, method="motion")[-1]
        if down_scale != 1:
            motion = enlarge_motion(motion, 1 / down_scale)
        frame, _ = model.apply(variables, pair, features.appearance, motion, method="refine")
        answers.append((frame, motion))
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
    """The padding of a frame. Shrunk sides must be multiples of 16 too, so the divisor grows with
    the reduction where the asked one would not do (the benchmarks' own sizes never need it)."""
    if not settings.divisor:
        return Padder(0, 0, 0, 0)
    divisor = settings.divisor
    while (divisor * settings.down_scale) % DIVISOR:
        divisor *= 2
    return Padder.for_size(height, width, divisor)


def augmented(run: Callable, pair: Pair) -> list[tuple[Frame, Motion]]:
    """Mean of a prediction and the turned-back prediction of the pair turned by 180 degrees.

    Both go through as one batch of twice the size; frames are not swapped, so t stays.
    """
    b = pair.shape[0]
    turned = pair[:, :, ::-1, ::-1]
    both = jnp.stack([pair, turned], axis=1).reshape(2 * b, *pair.shape[1:])
    answers = []
    for frames, motion in run(both):
        plain, back = jnp.moveaxis(frames.reshape(b, 2, *frames.shape[1:]), 1, 0)
        answers.append(((plain + back[:, ::-1, ::-1]) / 2, jax.tree.map(lambda x: x[::2], motion)))
    return answers


def hierarchical(
    halve: Callable[[Array, Array], Array], first: Array, last: Array, levels: int
) -> list[Array]:
    """2**levels - 1 frames between two, by halving again and again.

    For weights trained at t = 0.5 alone. `halve(a, b)` answers the frame midway.
    """
    if levels == 0:
        return []
    middle = halve(first, last)
    return [
        *hierarchical(halve, first, middle, levels - 1),
        middle,
        *hierarchical(halve, middle, last, levels - 1),
    ]
