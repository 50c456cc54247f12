"""Schedules of the learning rate, the weight decay and the first moment: step -> value.

A schedule is a small table in the config, e.g. `{"name": "cosine", "peak": 1e-3, "end": 1e-5,
"warmup_epochs": 5}`. Every duration is given as `*_epochs` or `*_steps`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxvision.errors import InputError, nearest

Schedule = Callable[[Any], Any]


def constant(value: float) -> Schedule:
    """`value` at every step."""
    return lambda step: jnp.asarray(value, jnp.float32)


def cosine(
    peak: float, end: float, steps: int, warmup: int, inclusive_warmup: bool = True
) -> Schedule:
    """linspace(0, peak, warmup) inclusive, then half a cosine from peak towards end.

    inclusive_warmup: the last step of the warm-up has the rate `peak` already; otherwise step i of
    it has peak * i / warmup.

    The first step has rate 0 and the last one has not quite reached `end`: end + (peak - end)/2 *
    (1 + cos(pi i/n)), i = 0..n-1 over the n steps after warm-up (MAE's and VideoMAE's scheduler).
    """
    remaining = max(steps - warmup, 1)

    def value(step):
        step = jnp.asarray(step, jnp.float32)
        rising = peak * step / max(warmup - inclusive_warmup, 1)
        progress = jnp.clip((step - warmup) / remaining, 0, 1)
        falling = end + (peak - end) / 2 * (1 + jnp.cos(math.pi * progress))
        return jnp.where(step < warmup, rising, falling)

    return value


def half_cosine(peak: float, period: float, warmup: int) -> Schedule:
    """peak * (step + 1) / warmup, then peak / 2 * (1 + cos(pi (step - warmup) / period)).

    The period is not shortened by the warm-up, so a run of `period` steps ends above 0 (SPVNAS).
    """

    def value(step):
        step = jnp.asarray(step, jnp.float32)
        falling = peak / 2 * (1 + jnp.cos(math.pi * (step - warmup) / period))
        return jnp.where(step < warmup, peak * (step + 1) / max(warmup, 1), falling)

    return value


def unshifted_cosine(peak: float, start: float, end: float, steps: int, warmup: int) -> Schedule:
    """A line from `start` to `peak` over the warm-up, then the half cosine that began at step 0:
    end + (peak - end)/2 * (1 + cos(pi step/steps)) (timm's scheduler, as SparseFormer sets it).

    Published loops set a step's rate after the step before it: the first two steps have `start`.
    """

    def value(step):
        told = jnp.maximum(jnp.asarray(step, float) - 1, 0)
        rising = start + (peak - start) * told / max(warmup, 1)
        progress = jnp.clip(told / steps, 0, 1)
        falling = end + (peak - end) / 2 * (1 + jnp.cos(math.pi * progress))
        return jnp.where(told < warmup, rising, falling)

    return value


def one_cycle(start: float, peak: float, end: float, steps: int, rising: int) -> Schedule:
    """Half a cosine from `start` to `peak` over the first `rising` steps, then one to `end` over
    the rest (fastai's; with peak below start it is the schedule of the first moment)."""

    def value(step):
        step = jnp.asarray(step, jnp.float32)
        up = jnp.clip(step / max(rising, 1), 0, 1)
        down = jnp.clip((step - rising) / max(steps - rising, 1), 0, 1)
        climbing = peak + (start - peak) / 2 * (1 + jnp.cos(math.pi * up))
        falling = end + (peak - end) / 2 * (1 + jnp.cos(math.pi * down))
        return jnp.where(step < rising, climbing, falling)

    return value


def decay_in_periods(peak: float, warmup: float, period: float, factor: float) -> Schedule:
    """peak * step/warmup up to and including `warmup`, then times `factor` after every `period`."""

    def value(step):
        step = jnp.asarray(step, jnp.float32)
        falling = peak * factor ** jnp.floor((step - warmup) / period)
        return jnp.where(step <= warmup, peak * step / max(warmup, 1e-9), falling)

    return value


def make(
    table: Mapping[str, Any], steps: int, steps_per_epoch: int, scale: float = 1.0
) -> Schedule:
    """The schedule a config's table describes; `scale` multiplies its values (batch-size rule)."""
    table = dict(table)
    name = table.pop("name")

    def number(key: str, default: float | None = None) -> float:
        if key in table:
            return float(table.pop(key)) * scale
        if default is None:
            raise InputError(f"schedule {name!r} lacks {key!r}")
        return default * scale

    def duration(key: str) -> float:
        in_steps = float(table.pop(f"{key}_steps", 0))
        in_epochs = float(table.pop(f"{key}_epochs", 0)) * steps_per_epoch
        return in_steps or in_epochs

    if name == "constant":
        schedule = constant(number("value"))
    elif name == "cosine":
        inclusive = bool(table.pop("inclusive_warmup", True))
        schedule = cosine(
            number("peak"), number("end", 0.0), steps, int(duration("warmup")), inclusive
        )
    elif name == "half_cosine":
        schedule = half_cosine(number("peak"), steps, int(duration("warmup")))
    elif name == "unshifted_cosine":
        rates = number("peak"), number("start", 0.0), number("end", 0.0)
        schedule = unshifted_cosine(*rates, steps, int(duration("warmup")))
    elif name == "one_cycle":
        rising = int(float(table.pop("rising", 0.4)) * steps)
        schedule = one_cycle(number("start"), number("peak"), number("end"), steps, rising)
    elif name == "decay_in_periods":
        factor = float(table.pop("factor", 0.5))
        schedule = decay_in_periods(number("peak"), duration("warmup"), duration("period"), factor)
    else:
        periodic = ("half_cosine", "unshifted_cosine", "one_cycle", "decay_in_periods")
        known = ("constant", "cosine", *periodic)
        raise InputError(f"unknown schedule {name!r}{nearest(name, known)}")
    if table:
        raise InputError(f"schedule {name!r} does not know {sorted(table)}")
    return schedule
