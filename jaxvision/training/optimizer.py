"""The optimizers of the papers, from optax, with schedules and groups of parameters."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice, nearest
from jaxvision.training import schedules
from jaxvision.training.packing import packed
from jaxvision.training.task import Group

NAMES = ("adamw", "adam", "sgd")


class Optimizer(NamedTuple):
    """transform: optax; its update takes `step=`.  schedules: for reports, by name.

    bound(params): parameters as the forward pass may take them, within their groups' bounds.
    """

    transform: optax.GradientTransformationExtraArgs
    schedules: dict[str, schedules.Schedule]
    bound: Callable[[dict], dict]


def make_optimizer(
    config: ConfigDict, groups: Mapping, batch_size: int, steps: int, steps_per_epoch: int
) -> Optimizer:
    """From `config.optim`; `groups` is a tree of `Group` shaped like the trained parameters.

    adamw: decoupled decay (Loshchilov & Hutter).  adam, sgd: the decay is added to the gradient
    first, as PyTorch does.  Where `batch_scaling` is set, learning rates (those of
    `config.schedules` too) are multiplied by batch_size / batch_scaling.
    """
    check_choice("optim.name", config.name, NAMES)
    scale = batch_size / config.batch_scaling if config.batch_scaling else 1.0
    learning_rates = {
        name: schedules.make(table, steps, steps_per_epoch, scale)
        for name, table in {"": config.learning_rate, **config.schedules}.items()
    }
    named = {f"learning_rate/{name}".removesuffix("/"): r for name, r in learning_rates.items()}
    weight_decay = schedules.make(config.weight_decay, steps, steps_per_epoch)
    rates = {**named, "weight_decay": weight_decay}
    if config.b1_schedule:
        rates["b1"] = schedules.make(config.b1_schedule, steps, steps_per_epoch)
    if config.name == "sgd":
        direction = optax.trace(config.momentum, nesterov=config.nesterov)
    elif config.b1_schedule:
        direction = optax.inject_hyperparams(optax.scale_by_adam, static_args=("b2", "eps"))(
            b1=rates["b1"], b2=config.b2, eps=config.eps
        )
    else:
        direction = optax.scale_by_adam(config.b1, config.b2, config.eps)

    def transform_of(groups: Mapping) -> optax.GradientTransformationExtraArgs:
        decay = add_decay(groups, rates["weight_decay"])
        chain = [decay, direction] if config.name != "adamw" else [direction, decay]
        if config.clip_norm:
            chain.insert(0, optax.clip_by_global_norm(config.clip_norm))
        chain.append(scale_by_rate(groups, learning_rates))
        return optax.with_extra_args_support(optax.chain(*chain))

    transform = packed(transform_of, groups) if config.packed else transform_of(groups)
    return Optimizer(transform, rates, lambda params: bound(groups, params))


def _per_layer(factor: Any, leaf: jax.Array) -> Any:
    """A factor per stacked layer, shaped to multiply the leaf."""
    factor = np.asarray(factor, np.float32)
    return factor.reshape(factor.shape + (1,) * (leaf.ndim - factor.ndim))


def _is_group(x: Any) -> bool:
    return isinstance(x, Group)


def add_decay(
    groups: Mapping, schedule: schedules.Schedule
) -> optax.GradientTransformationExtraArgs:
    """Add weight_decay(step) * group.decay * parameter to each update."""

    def update(updates, state, params, *, step, **_):
        rate = schedule(step)

        def add(group, update, param):
            if not np.any(group.decay):
                return update
            return update + rate * _per_layer(group.decay, param) * param

        return jax.tree.map(add, groups, updates, params, is_leaf=_is_group), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def scale_by_rate(
    groups: Mapping, rates: Mapping[str, schedules.Schedule]
) -> optax.GradientTransformationExtraArgs:
    """Multiply by -rate(step) * group.lr, the rate being that of the schedule which the group names
    ("": the learning rate), and by 0 where a layer is not trained."""
    for group in jax.tree.leaves(groups, is_leaf=_is_group):
        if group.schedule not in rates:
            hint = nearest(group.schedule, [name for name in rates if name])
            raise InputError(
                f"no schedule {group.schedule!r} in optim.schedules for a group of parameters{hint}"
            )

    def update(updates, state, params=None, *, step, **_):
        now = {name: rate(step) for name, rate in rates.items()}

        def scale(group, update):
            factor = np.asarray(group.lr, np.float32) * np.asarray(group.train, np.float32)
            return -now[group.schedule] * _per_layer(factor, update) * update

        return jax.tree.map(scale, groups, updates, is_leaf=_is_group), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def bound(groups: Mapping, params: Mapping) -> Any:
    """Parameters with those of a bounded group clamped.

    It comes before the forward pass and outside of its gradient, as `param.data.clamp_()` does: a
    value at its bound still gets its gradient, and moves back inside as soon as that says so.
    """

    def clamp(group, param):
        return param if group.bounds is None else jnp.clip(param, *group.bounds)

    return jax.tree.map(clamp, groups, params, is_leaf=_is_group)


def global_norm(tree: Any) -> jax.Array:
    """sqrt of the sum of squares of every leaf, in float32."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)))
