"""Golden runners of VideoMAE: parameter groups and optimizer steps of fine-tuning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from golden_case import Case, runner
from golden_runners.videomae_classification import (
    classifier,
    classifier_forward,
    classifier_gradients,
    normalised,
    soft_target,
)
from jaxvision.training.config import base_config
from jaxvision.training.layer_decay import layer_decay_group, layer_scales, layers_of
from jaxvision.training.optimizer import Optimizer, global_norm, make_optimizer
from jaxvision.weights import Entry, to_state_dict, to_variables
from jaxvision.weights.mapping import flatten, unflatten
from jaxvision.weights.video_transformer_entries import classification_entries


def row_of(entry: Entry, value):
    """What belongs to one official tensor: its row where it is part of a stacked leaf."""
    return value if entry.layer is None else value[entry.layer]


@runner("videomae", "optim_factory.py:LayerDecayValueAssigner,get_parameter_groups")
def layer_decay(case: Case) -> dict:
    answers = {}
    for name, config in case.config.items():
        model = classifier(config)
        assert model.depth == config["num_layers"]
        known = {entry.name: entry for entry in classification_entries(model)}
        entries = [known[name] for name in config["parameter_names"]]
        paths = [entry.path.removeprefix("params/") for entry in entries]
        layers = [row_of(e, layers_of(p, model.depth)) for e, p in zip(entries, paths, strict=True)]
        groups = [layer_decay_group(path, model.depth, config["layer_decay"]) for path in paths]
        rates = [row_of(e, group.lr) for e, group in zip(entries, groups, strict=True)]
        answers |= {
            f"{name}/values": layer_scales(model.depth, config["layer_decay"]),
            f"{name}/layer_id": np.array(layers),
            f"{name}/lr_scale": np.array(rates),
            f"{name}/weight_decay": np.array([g.decay for g in groups]) * config["weight_decay"],
        }
    return answers


def optimizer_of(config: dict, params: dict, depth: int) -> Optimizer:
    optim, given, schedule = base_config().optim, config["optimizer"], config["lr_schedule"]
    optim.name = given["name"]
    optim.b1, optim.b2 = given["betas"]
    optim.eps = given["eps"]
    optim.clip_norm = given["clip_grad"] or 0.0
    optim.weight_decay.value = given["weight_decay"]
    optim.learning_rate = ConfigDict(
        {
            "name": "cosine",
            "peak": schedule["base"],
            "end": schedule["final"],
            "warmup_epochs": schedule["warmup_epochs"],
        }
    )
    groups = {
        path: layer_decay_group(path, depth, config["layer_decay"]) for path in flatten(params)
    }
    per_epoch = schedule["iters_per_epoch"]
    steps = schedule["epochs"] * per_epoch
    return make_optimizer(optim, unflatten(groups), 1, steps, per_epoch)


def apply_update(transform, params, state, gradients, number):
    updates, state = transform.update(gradients, state, params, step=number)
    return optax.apply_updates(params, updates), state


@runner(
    "videomae",
    "engine_for_finetuning.py:train_one_epoch + optim_factory.py",
    fixed={"kind": "finetune_steps"},
)
def finetuning_steps(case: Case) -> dict:
    config = case.config
    model, _ = classifier_forward(config)
    entries = classification_entries(model)
    variables, _ = to_variables(case.state_dict(), entries)
    params = variables["params"]
    optimizer = optimizer_of(config, params, model.depth)
    update = jax.jit(functools.partial(apply_update, optimizer.transform))
    state, losses, norms, rates = optimizer.transform.init(params), [], [], []
    for number in range(config["steps"]):
        gradients = jax.tree.map(jnp.zeros_like, params)
        for micro in range(config["update_freq"]):
            place = number * config["update_freq"] + micro
            target = soft_target(
                case.input(f"target_step{place}"),
                model.classes,
                config["mix_lambda"],
                config["label_smoothing"],
            )
            loss, grads = classifier_gradients(config)(
                params, normalised(case.input(f"video01_step{place}")), target
            )
            losses.append(loss)
            gradients = jax.tree.map(lambda a, b: a + b / config["update_freq"], gradients, grads)
        norms.append(global_norm(gradients))
        rates.append(optimizer.schedules["learning_rate"](number))
        params, state = update(params, state, gradients, number)
    answers = {
        "loss_per_micro_step": np.array(losses),
        "grad_norm_per_step": np.array(norms),
        "lr_per_step": np.array(rates),
    }
    after = to_state_dict({"params": params}, entries)
    for name in case.outputs:
        kind, _, tensor = name.partition("/")
        if kind == "param_after_l2":
            answers[name] = np.linalg.norm(after[tensor])
        elif kind == "param_change_l2":
            answers[name] = np.linalg.norm(after[tensor] - case.weight(tensor))
    return answers
