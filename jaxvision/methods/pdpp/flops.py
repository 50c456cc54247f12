"""Counted floating-point operations (a multiply-add is two; matrix products only), per plan.

`published_*` counts what the reference computes; the others what is computed here: padding is not
multiplied, class and observations enter once, only action channels leave, time terms are a table.
"""

import itertools

from jaxvision.methods.pdpp.model import TemporalUNet


def published_pass(model: TemporalUNet, horizon: int) -> float:
    """One call of the reference's network on one state."""
    width = model.layout.width
    layers = _first(model, horizon, width, True) + _trunk(model, horizon, True)
    return 2.0 * (layers + _last(model, horizon, width) + _time(model))


def whole_pass(model: TemporalUNet, horizon: int) -> float:
    """One call on a whole state here: no padding is multiplied, nothing else is saved."""
    width = model.layout.width
    layers = _first(model, horizon, width, False) + _trunk(model, horizon, False)
    return 2.0 * (layers + _last(model, horizon, width) + _time(model))


def action_pass(model: TemporalUNet, horizon: int) -> float:
    """One call on the action part alone, its condition and time terms given."""
    actions = model.layout.actions
    layers = _first(model, horizon, actions, False) + _trunk(model, horizon, False)
    return 2.0 * (layers + _last(model, horizon, actions))


def condition(model: TemporalUNet, horizon: int) -> float:
    """Class and observations through the first block: start and goal meet two taps each."""
    layout, channels = model.layout, model.widths[0]
    taps = 3 * layout.classes + 4 * layout.observation
    shortcut = layout.classes + 2 * layout.observation
    return 2.0 * channels * (taps + shortcut)


def training_pass(model: TemporalUNet, horizon: int) -> float:
    """The forward pass of one training sample: every one has its own condition and time."""
    time = 2.0 * _time(model)
    return action_pass(model, horizon) + condition(model, horizon) + time


def published_plans(model: TemporalUNet, horizon: int, steps: int, samples: int) -> float:
    """`samples` plans of one window over `steps` reverse steps, in the reference."""
    return steps * samples * published_pass(model, horizon)


def plans(model: TemporalUNet, horizon: int, steps: int, samples: int) -> float:
    """The same here; the table of time terms serves every window and is counted once."""
    once = condition(model, horizon) + 2.0 * steps * _time(model)
    return once + steps * samples * action_pass(model, horizon)


def _products(length: int, padded: bool) -> int:
    """Input rows that three taps multiply."""
    return 3 * length if padded else 3 * length - 2


def _first(model: TemporalUNet, horizon: int, inputs: int, padded: bool) -> int:
    """The first block's first convolution and its shortcut."""
    channels = model.widths[0]
    shortcut = 0 if model.layout.width == channels else horizon
    return inputs * channels * (_products(horizon, padded) + shortcut)


def _last(model: TemporalUNet, horizon: int, outputs: int) -> int:
    return horizon * model.width * outputs


def _trunk(model: TemporalUNet, horizon: int, padded: bool) -> int:
    """Everything between the first block's first convolution and the last convolution."""
    widths = model.widths
    total, length = 0, horizon

    def three_taps(inputs: int, outputs: int) -> int:
        return _products(length, padded) * inputs * outputs

    def block(inputs: int, outputs: int) -> int:
        shortcut = length * inputs * outputs if inputs != outputs else 0
        return three_taps(inputs, outputs) + three_taps(outputs, outputs) + shortcut

    total += three_taps(widths[0], widths[0]) + block(widths[0], widths[0])
    for inputs, outputs in itertools.pairwise(widths):
        length -= 1
        total += 2 * length * inputs * inputs
        total += block(inputs, outputs) + block(outputs, outputs)
    total += 2 * block(widths[-1], widths[-1])
    for inputs, outputs in zip(widths[:0:-1], widths[-2::-1], strict=True):
        total += block(2 * inputs, outputs) + block(outputs, outputs)
        total += 2 * length * outputs * outputs
        length += 1
    return total + three_taps(model.width, model.width)


def _time(model: TemporalUNet) -> int:
    """The time MLP and every block's projection of it."""
    if not model.time_embedding:
        return 0
    width, widths = model.width, model.widths
    projections = 2 * sum(widths) + 2 * widths[-1] + 2 * sum(widths[:-1])
    return 8 * width * width + width * projections
