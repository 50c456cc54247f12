"""Schedules of the learning rate, the weight decay and the first moment: step -> value.

A schedule is a small table in the config: a warm-up to `peak`, then a body.

    {"name": "cosine", "peak": 1e-3, "end": 1e-5, "warmup_epochs": 5}

`name` is one of FORMS, which says its body and its publisher's habits; a table may overrule them.
Every duration is given as `*_epochs` or `*_steps`.

warm-up: from `start` (0) to `peak` over `warmup_*`, "linear", "cosine" or "constant" (at `start`)
    as `warmup_shape` says. The first step of a line has `start` unless `warmup_skips_start`; its
    last one has `peak` if `inclusive_warmup`, else the step after it is the first to have it.
bodies: "constant" at `value`; "cosine" to `end`; "periods": times `factor` after every `period_*`;
    "milestones": times `factor` at each of `at_*`; "stairs": `values`, the next at each of `at_*`.
cosine: end + (peak - end)/2 * (1 + cos(pi t)), t from 0 to 1. `shifted`: it starts where the
    warm-up ends, else it began at step 0, unseen. `shortened`: it lasts for the rest of the run,
    else for as long as the whole run.
floor: no value is lower, warm-up included.
clock: "step"; "epoch": the value of an epoch's first step holds for all of it; "fractional_epoch":
    epoch + k / `updates_per_epoch` at step k of an epoch, for loops whose epochs leave some
    micro-steps over: 37 micro-steps, two a step, are 18 steps but 18.5 updates an epoch.
delay_steps: loops that set a step's rate after the step before it are so many steps late.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxvision.errors import InputError, check_choice, nearest

Schedule = Callable[[Any], Any]


def make(
    table: Mapping[str, Any], steps: int, steps_per_epoch: int, scale: float = 1.0
) -> Schedule:
    """The schedule that a config's table describes; `scale` multiplies its values (the batch-size
    rule). InputError names a key that is lacking, unknown or of no known value."""
    settings = _Settings(table, scale)
    clock = _clock(settings, steps, steps_per_epoch)
    rising = int(settings.take("rising") * steps) * clock.step
    warmup = rising or settings.duration("warmup", clock)
    if settings.take("inclusive_warmup"):
        warmup = int(warmup)  # with a part of a step, the line would pass its end
    peak, fall = settings.body(settings, clock, warmup)
    rise = _rise(settings, peak, warmup)
    floor = settings.amount("floor", -math.inf)
    settings.refuse_the_rest()

    def value(step):
        time = clock.time(step)
        rate = jnp.where(time < warmup, rise(time), fall(time)) if warmup else fall(time)
        return rate if floor == -math.inf else jnp.maximum(rate, floor)

    return value


class _Clock(NamedTuple):
    """The unit of time of a schedule, steps or epochs.

    time(step): the time of a step.  step, epoch, run: how long each is.
    """

    time: Schedule
    step: float
    epoch: float
    run: float


class _Settings:
    """A schedule's table on top of its form's habits, which notices what nothing has read."""

    def __init__(self, table: Mapping[str, Any], scale: float):
        self.name, self.scale = table.get("name", ""), scale
        check_choice("unknown schedule", self.name, FORMS)
        self.body, habits = FORMS[self.name]
        self._values = {**HABITS, **habits, **table}
        self._unread = set(table) - {"name"}

    def take(self, key: str, default: Any = None, choices: tuple[str, ...] = ()) -> Any:
        self._unread.discard(key)
        value = self._values.get(key, default)
        if value is None:
            raise InputError(f"schedule {self.name!r} lacks {key!r}")
        if choices and value not in choices:
            raise InputError(f"schedule {self.name!r}: {key} {value!r}{nearest(value, choices)}")
        return value

    def amount(self, key: str, default: float | None = None) -> float:
        """A value of the schedule, by the batch-size rule."""
        return float(self.take(key, default)) * self.scale

    def duration(self, key: str, clock: _Clock) -> float:
        """`key`_steps or `key`_epochs in units of the clock."""
        in_steps, in_epochs = self.take(f"{key}_steps", 0.0), self.take(f"{key}_epochs", 0.0)
        return float(in_steps) * clock.step or float(in_epochs) * clock.epoch

    def moments(self, clock: _Clock) -> jnp.ndarray:
        """`at_steps` or `at_epochs` in units of the clock."""
        in_steps, in_epochs = self.take("at_steps", ()), self.take("at_epochs", ())
        moments = [x * clock.step for x in in_steps] + [x * clock.epoch for x in in_epochs]
        if not moments or moments != sorted(moments):
            raise InputError(
                f"schedule {self.name!r}: expected rising numbers in one of 'at_epochs' and "
                f"'at_steps', got {tuple(in_epochs)} and {tuple(in_steps)}"
            )
        return jnp.asarray(moments, float)

    def refuse_the_rest(self) -> None:
        if self._unread:
            raise InputError(f"schedule {self.name!r} does not know {sorted(self._unread)}")


def _clock(settings: _Settings, steps: int, steps_per_epoch: int) -> _Clock:
    unit = settings.take("clock", choices=("step", "epoch", "fractional_epoch"))
    updates = float(settings.take("updates_per_epoch")) or steps_per_epoch
    delay = settings.take("delay_steps")

    def time(step):
        step = jnp.maximum(jnp.asarray(step) - delay, 0) if delay else jnp.asarray(step)
        if unit == "step":
            return step.astype(float)
        epoch = (step // steps_per_epoch).astype(float)
        return epoch if unit == "epoch" else epoch + (step % steps_per_epoch) / updates

    if unit == "step":
        return _Clock(time, 1.0, steps_per_epoch, steps)
    return _Clock(time, 1 / steps_per_epoch, 1.0, steps / steps_per_epoch)


def _rise(settings: _Settings, peak: float, warmup: float) -> Schedule:
    """The warm-up: what the schedule is while time < warmup."""
    start = settings.amount("start")
    shape = settings.take("warmup_shape", choices=("linear", "cosine", "constant"))
    skipped, inclusive = settings.take("warmup_skips_start"), settings.take("inclusive_warmup")
    if warmup and inclusive and settings.take("clock") == "fractional_epoch":
        raise InputError(f"schedule {settings.name!r}: fractional epochs have no inclusive_warmup")
    length = (warmup + skipped - inclusive) or 1

    def rise(time):
        if shape == "constant":
            return start
        if shape == "cosine":
            return _half_cosine(start, peak, time / length)
        return start + (peak - start) * (time + skipped) / length

    return rise


def _half_cosine(first: float, last: float, progress: Any) -> Any:
    return last + (first - last) / 2 * (1 + jnp.cos(math.pi * jnp.clip(progress, 0, 1)))


# A body gives its peak and what the schedule is from the end of the warm-up on.
Body = Callable[[_Settings, _Clock, float], tuple[float, Schedule]]


def _constant(settings: _Settings, clock: _Clock, warmup: float) -> tuple[float, Schedule]:
    value = settings.amount("value")
    return value, lambda time: jnp.full_like(time, value)


def _cosine(settings: _Settings, clock: _Clock, warmup: float) -> tuple[float, Schedule]:
    peak, end = settings.amount("peak"), settings.amount("end")
    origin = warmup if settings.take("shifted") else 0.0
    length = clock.run - warmup if settings.take("shortened") else clock.run
    length = max(length, clock.step)
    return peak, lambda time: _half_cosine(peak, end, (time - origin) / length)


def _periods(settings: _Settings, clock: _Clock, warmup: float) -> tuple[float, Schedule]:
    peak, factor = settings.amount("peak"), float(settings.take("factor"))
    period = settings.duration("period", clock)
    if not period:
        raise InputError(f"schedule {settings.name!r} lacks 'period_epochs' or 'period_steps'")
    return peak, lambda time: peak * factor ** jnp.floor((time - warmup) / period)


def _milestones(settings: _Settings, clock: _Clock, warmup: float) -> tuple[float, Schedule]:
    peak, factor = settings.amount("peak"), float(settings.take("factor"))
    moments = settings.moments(clock)
    return peak, lambda time: peak * factor ** _passed(moments, time)


def _stairs(settings: _Settings, clock: _Clock, warmup: float) -> tuple[float, Schedule]:
    values = [float(value) * settings.scale for value in settings.take("values")]
    moments = settings.moments(clock)
    if len(values) != len(moments) + 1:
        raise InputError(
            f"schedule {settings.name!r}: {len(values)} values and {len(moments)} moments between "
            f"them; expected {len(moments) + 1} values"
        )
    return values[0], lambda time: jnp.asarray(values, float)[_passed(moments, time)]


def _passed(moments: jnp.ndarray, time: Any) -> Any:
    """How many of the moments have come."""
    return jnp.sum(time[..., None] >= moments, -1)


HABITS: dict[str, Any] = {
    "start": 0.0,
    "warmup_shape": "linear",
    "warmup_skips_start": False,
    "inclusive_warmup": False,
    "rising": 0.0,  # the warm-up as a share of the run
    "clock": "step",
    "updates_per_epoch": 0.0,  # 0 = steps_per_epoch
    "delay_steps": 0,
}
_COSINE = {"end": 0.0, "shifted": True, "shortened": True}
_UNSHIFTED = {"end": 0.0, "shifted": False, "shortened": False}
FORMS: dict[str, tuple[Body, dict[str, Any]]] = {
    "constant": (_constant, {}),
    # MAE's, VideoMAE's and UMT's: linspace(start, peak, warm-up); the last step just misses `end`.
    "cosine": (_cosine, {**_COSINE, "inclusive_warmup": True}),
    # SPVNAS's: peak * (step + 1) / warm-up; a run of its length ends above `end`.
    "half_cosine": (
        _cosine,
        {**_COSINE, "inclusive_warmup": True, "warmup_skips_start": True, "shortened": False},
    ),
    # timm's, whose loops SparseFormer's is one of.
    "unshifted_cosine": (_cosine, {**_UNSHIFTED, "delay_steps": 1}),
    # fastai's; with peak below start, the schedule of the first moment.
    "one_cycle": (_cosine, {**_COSINE, "warmup_shape": "cosine", "rising": 0.4}),
    "decay_in_periods": (_periods, {"factor": 0.5}),
    "milestones": (_milestones, {"factor": 0.1}),
    "stairs": (_stairs, {}),
}
