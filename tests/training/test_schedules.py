"""Warm-ups, bodies and clocks, against what published schedulers answered and their formulas."""

import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.training.schedules import make


def values(at, steps, steps_per_epoch, scale=1.0, **table):
    return np.float64(make(table, steps, steps_per_epoch, scale)(np.asarray(at, np.int32)))


def check(expected, at, steps, steps_per_epoch, **table):
    got = values(at, steps, steps_per_epoch, **table)
    np.testing.assert_allclose(got, expected, rtol=3e-6, atol=1e-12)


def test_warm_up_in_epochs_or_steps():
    table = {"name": "cosine", "peak": 1.0, "end": 0.0}
    by_epoch = values(range(30), 30, 5, **table, warmup_epochs=2)
    np.testing.assert_array_equal(by_epoch, values(range(30), 30, 5, **table, warmup_steps=10))
    np.testing.assert_allclose(by_epoch[[0, 9, 10, 20]], [0, 1, 1, 0.5], atol=1e-6)


def test_a_warm_up_from_a_rate_of_its_own_both_ends_included():
    # UMT's fine-tuning: numpy.linspace, then a cosine that just misses its end.
    falling = 1e-6 + (2e-4 - 1e-6) / 2 * (1 + np.cos(np.pi * np.arange(32) / 32))
    expected = [*np.linspace(1e-6, 2e-4, 8), *falling]
    table = {"name": "cosine", "peak": 2e-4, "end": 1e-6, "start": 1e-6, "warmup_epochs": 2}
    check(expected, range(40), 40, 4, **table)
    np.testing.assert_allclose(values(range(40), 40, 4, 8.0, **table), 8 * np.array(expected), 3e-6)


def test_a_floor_holds_in_the_warm_up_too():
    # UMT's multi-modal scheduler: factor max(0.01, step / warm-up), max(0.01, cosine).
    table = {"name": "cosine", "peak": 1.0, "floor": 0.01, "inclusive_warmup": False}
    at = [0, 1, 5, 10, 35, 59, 60]
    check([0.01, 0.1, 0.5, 1, 0.5, 0.01, 0.01], at, 60, 1, **table, warmup_steps=10)


def test_a_rate_per_epoch():
    # CamLiFlow's 2D and 3D rates, epochs 1, 2, 3: a warm-up and a floor of their own (timm's).
    shared = {"name": "unshifted_cosine", "delay_steps": 0, "clock": "epoch"}
    shared |= {"start": 1e-5, "end": 1e-5, "warmup_epochs": 2}
    at = [0, 6, 7, 13, 14, 20]
    expected = [1e-5, 1e-5, 1.05e-4, 1.05e-4, 1.99916669e-4, 1.99916669e-4]
    check(expected, at, 150 * 7, 7, **shared, peak=2e-4)
    expected = [1e-5, 1e-5, 1.005e-3, 1.005e-3, 1.99912722e-3, 1.99912722e-3]
    check(expected, at, 150 * 7, 7, **shared, peak=2e-3)


def test_micro_steps_that_an_epoch_leaves_over():
    # CoMAE: 37 micro-steps an epoch, two a step: step k of epoch e has the rate of e + 2k/37.
    step = np.arange(75 * 18)
    epoch = step // 18 + 2 * (step % 18) / 37
    falling = 1e-3 / 2 * (1 + np.cos(np.pi * (epoch - 10) / 65))
    table = {"name": "cosine", "peak": 1e-3, "warmup_epochs": 10, "inclusive_warmup": False}
    table |= {"clock": "fractional_epoch", "updates_per_epoch": 18.5}
    expected = np.where(epoch < 10, 1e-3 * epoch / 10, falling)
    np.testing.assert_allclose(values(step, len(step), 18, **table), expected, atol=1e-9)


def test_milestones_after_a_line_or_a_constant():
    # CycleACR's scheduler: factor 0.25 (1 - k/2000) + k/2000, then a tenth at each milestone.
    table = {"name": "milestones", "peak": 8e-4, "start": 2e-4, "warmup_steps": 2000}
    table |= {"at_steps": (30_000, 40_000)}
    at = [0, 1, 1000, 2000, 29_999, 30_000, 39_999, 40_000]
    fallen = [8e-4, 8e-4, 8e-5, 8e-5, 8e-6]
    check([2e-4, 2.003e-4, 5e-4, *fallen], at, 50_000, 1, **table)
    check([2e-4, 2e-4, 2e-4, *fallen], at, 50_000, 1, **table, warmup_shape="constant")


def test_a_half_period_cosine_that_jumps_at_the_end_of_its_warm_up():
    # STMixer's offer: 10 steps an epoch, 12 epochs, two of warm-up from a tenth.
    table = {"name": "unshifted_cosine", "delay_steps": 0, "peak": 2e-5, "start": 2e-6}
    expected = [2e-6, 2.9e-6, 1.91e-5, 1.86602540e-5, 1.85264016e-5]
    check(expected, [0, 1, 19, 20, 21], 120, 10, **table, warmup_epochs=2)


def test_stairs_and_periods():
    at = [0, 3999, 4000, 5000]
    table = {"name": "stairs", "values": (4e-4, 2e-4, 1e-4), "at_epochs": (400, 500)}
    check([4e-4, 4e-4, 2e-4, 1e-4], at, 6000, 10, **table)
    table = {"name": "decay_in_periods", "peak": 1.0, "period_epochs": 2, "warmup_steps": 4}
    check([0, 0.5, 1, 1, 0.5, 0.25], [0, 2, 4, 23, 24, 44], 60, 10, **table)


def test_a_late_schedule_and_one_that_skips_its_start():
    table = {"name": "unshifted_cosine", "peak": 1.0, "start": 0.2, "warmup_steps": 4}
    check([0.2, 0.2, 0.4, 0.6, 0.8], range(5), 1000, 1, **table)
    check([0.25, 0.5, 0.75, 1, 1], range(5), 10**6, 1, name="half_cosine", peak=1.0, warmup_steps=4)


def test_the_first_moment_falls_and_rises():
    table = {"name": "one_cycle", "start": 0.95, "peak": 0.85, "end": 0.95, "rising": 0.4}
    check([0.95, 0.9, 0.85, 0.9], [0, 2, 4, 7], 10, 1, **table)
    check([0.3, 0.3], [0, 9], 10, 1, name="constant", value=0.3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "cosin", "peak": 1.0}, "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ({"name": "cosine"}, "schedule 'cosine' lacks 'peak'"),
        ({"name": "constant", "value": 1.0, "warmup": 3}, "'warmup'"),
        ({"name": "cosine", "peak": 1.0, "factor": 0.1}, r"does not know \['factor'\]"),
        ({"name": "cosine", "peak": 1.0, "clock": "epohc"}, "clock 'epohc'; did you mean 'epoch'?"),
        ({"name": "decay_in_periods", "peak": 1.0}, "lacks 'period_epochs' or 'period_steps'"),
        ({"name": "milestones", "peak": 1.0, "at_epochs": (8, 5)}, r"expected rising .* \(8, 5\)"),
        ({"name": "stairs", "values": (1.0,), "at_steps": (3,)}, "1 values and 1 moments"),
        (
            {"name": "cosine", "peak": 1.0, "warmup_epochs": 1, "clock": "fractional_epoch"},
            "fractional epochs have no inclusive_warmup",
        ),
    ],
)
def test_a_schedule_that_is_not_one_is_refused(table, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        make(table, 10, 5)
