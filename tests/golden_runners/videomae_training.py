"""Golden runners of how VideoMAE is pretrained: schedules, groups, several steps, pixels in."""

import jax
import numpy as np

from golden_case import Case, runner
from golden_runners.videomae import (
    channels_last,
    kept,
    pretraining_model,
    pretraining_step,
)
from jaxvision.data.crops import Box
from jaxvision.data.normalisation import normalise
from jaxvision.data.resize import pillow_resized_crop
from jaxvision.methods.videomae.task import pretraining_group
from jaxvision.methods.videomae.weights import pretraining_entries
from jaxvision.nn.transformer import drop_path_rates
from jaxvision.training import schedules
from jaxvision.training.config import base_config
from jaxvision.training.optimizer import global_norm, make_optimizer
from jaxvision.training.task import Group
from jaxvision.weights import to_state_dict, to_variables
from jaxvision.weights.mapping import flatten, unflatten


@runner("videomae", "utils.py:cosine_scheduler")
def cosine_schedules(case: Case) -> dict:
    answers = {}
    for name, settings in case.config.items():
        per_epoch = settings["niter_per_ep"]
        steps = settings["epochs"] * per_epoch
        table = {
            "name": "cosine",
            "peak": settings["base_value"],
            "end": settings["final_value"],
            "warmup_epochs": settings.get("warmup_epochs", 0),
            "warmup_steps": settings.get("warmup_steps", 0),
        }
        answers[name] = jax.jit(schedules.make(table, steps, per_epoch))(np.arange(steps))
    return answers


@runner(
    "videomae",
    "optim_factory.py:get_parameter_groups; models/modeling_finetune.py:VisionTransformer",
)
def groups_and_drop_path(case: Case) -> dict:
    entries = {e.name: e for e in pretraining_entries(pretraining_model(case.config))}
    groups = [group_of(entries[name]) for name in case.config["parameter_names"]]
    answers = {
        "weight_decay": np.array([case.config["weight_decay"] * g.decay for g in groups]),
        "lr_scale": np.array([g.lr for g in groups]),
    }
    for name, (rate, depth) in case.config["drop_path"].items():
        answers[f"drop_path/{name}"] = drop_path_rates(rate, depth)
    return answers


def group_of(entry) -> Group:
    return pretraining_group(entry.path.removeprefix("params/"))


@runner(
    "videomae",
    "engine_for_pretraining.py:train_one_epoch + optim_factory.py:create_optimizer"
    " + utils.py:cosine_scheduler",
    fixed={"kind": "pretrain_steps"},
)
def optimizer_steps(case: Case) -> dict:
    model, step = pretraining_step(case.config)
    entries = pretraining_entries(model)
    variables, _ = to_variables(case.state_dict(), entries)
    optimizer = published_optimizer(case.config, variables["params"])

    @jax.jit
    def apply(grads, params, state, number):
        updates, state = optimizer.transform.update(grads, state, params, step=number)
        return jax.tree.map(lambda p, u: p + u, params, updates), state

    params, state = variables["params"], optimizer.transform.init(variables["params"])
    rows: dict[str, list] = {"loss": [], "grad_norm": [], "lr": [], "wd": []}
    for number in range(case.config["steps"]):
        mask = case.input(f"mask_step{number}")
        video = channels_last(case.input(f"video01_step{number}"))
        decoded = kept(case.input(f"decode_mask_step{number}"))
        answers, grads = step({"params": params}, video, kept(mask), decoded, mask, gradients=True)
        rows["loss"].append(answers["loss"])
        rows["grad_norm"].append(global_norm(grads))
        rows["lr"].append(optimizer.schedules["learning_rate"](number))
        rows["wd"].append(optimizer.schedules["weight_decay"](number))
        params, state = apply(grads, params, state, number)
    answers = {f"{name}_per_step": np.array(values) for name, values in rows.items()}
    before, after = case.state_dict(), dict(to_state_dict({"params": params}, entries))
    for name in after:
        answers[f"param_after_l2/{name}"] = np.linalg.norm(np.float64(after[name]))
        change = np.float64(after[name]) - np.float64(before[name])
        answers[f"param_change_l2/{name}"] = np.linalg.norm(change)
    return answers


def published_optimizer(config: dict, params):
    given, rate = config["optimizer"], config["lr_schedule"]
    optim = base_config().optim
    optim.name = given["name"]
    optim.b1, optim.b2 = given["betas"]
    optim.eps = given["eps"]
    optim.clip_norm = float(given["clip_grad"] or 0)
    optim.learning_rate = {
        "name": "cosine",
        "peak": rate["base"],
        "end": rate["final"],
        "warmup_epochs": rate["warmup_epochs"],
    }
    optim.weight_decay = {
        "name": "cosine",
        "peak": given["weight_decay"],
        "end": given["weight_decay_end"],
    }
    groups = unflatten({path: pretraining_group(path) for path in flatten(params)})
    per_epoch = rate["iters_per_epoch"]
    return make_optimizer(optim, groups, 1, rate["epochs"] * per_epoch, per_epoch)


@runner("videomae", "dataset/pretrain_datasets.py:DataAugmentationForVideoMAEv2")
def preprocess(case: Case) -> dict:
    size = case.config["input_size"]
    answers = {}
    for name in case.outputs:
        crop = case.config[name]
        box = Box(crop["y"], crop["x"], crop["height"], crop["width"])
        video = pillow_resized_crop(case.input("frames"), box, (size, size))
        normalised = jax.jit(normalise)(video)
        answers[name] = np.moveaxis(normalised, -1, 0)
    return answers
