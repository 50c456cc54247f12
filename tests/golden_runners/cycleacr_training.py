"""Golden runners of how CycleACR is trained: rates, decay, what is logged, which names match."""

import re

import jax
import numpy as np

from golden_case import Case, runner
from jaxvision.methods.cycleacr import objective
from jaxvision.methods.cycleacr.groups import LayerGroups, SgdGroups
from jaxvision.methods.cycleacr.pretrained import matched
from jaxvision.methods.cycleacr.variants import build, model_table
from jaxvision.methods.cycleacr.weights import detector_entries
from jaxvision.training import schedules
from jaxvision.training.layer_decay import layer_scales


@runner("cycleacr", "alphaction/utils/model_serialization.py")
def checkpoint_match(case: Case) -> dict:
    names, answers = case.config["model_keys"], {}
    for kind, loaded in case.config["loaded_keys"].items():
        for ending, head in (("all", True), ("no_head", False)):
            found = matched(names, loaded, head)
            places = [loaded.index(found[name]) if name in found else -1 for name in names]
            answers[f"{kind}_{ending}"] = np.array(places)
    return answers


@runner("cycleacr", "alphaction/solver/lr_scheduler.py")
def learning_rates(case: Case) -> dict:
    config, peak = case.config, case.config["base_lr"]
    warmup = {"start": config["warmup_factor"] * peak, "warmup_steps": config["warmup_iters"]}
    stairs = {"name": "milestones", "at_steps": config["milestones"], "factor": config["gamma"]}
    tables = {
        "multistep_published": stairs,
        "multistep_constant_warmup": {**stairs, "warmup_shape": "constant"},
        "half_cosine": {
            "name": "cosine",
            "end": 0.0,
            "shifted": False,
            "shortened": False,
            "inclusive_warmup": False,
        },
    }
    answers = {}
    for name, table in tables.items():
        schedule = schedules.make({**table, **warmup, "peak": peak}, config["max_iters"], 1)
        with jax.enable_x64(True):
            answers[name] = np.array([float(schedule(step)) for step in config["iterations"]])
    return answers


@runner(
    "cycleacr",
    "VideoMAE-Action-Detection/utils.py:cosine_scheduler and "
    "VideoMAE-Action-Detection/run_class_finetuning.py",
)
def transformer_rates(case: Case) -> dict:
    config, per_epoch = case.config, case.config["steps_per_epoch"]
    steps, scale = config["epochs"] * per_epoch, config["total_batch"] / 256

    def values(table: dict, steps: int, per_epoch: int) -> np.ndarray:
        schedule = schedules.make({"name": "cosine", **table}, steps, per_epoch)
        with jax.enable_x64(True):
            return np.array([float(schedule(step)) for step in range(steps)])

    published = {
        "peak": config["base_lr"] * scale,
        "end": config["min_lr"] * scale,
        "warmup_epochs": config["warmup_epochs"],
    }
    return {
        "lr": values(published, steps, per_epoch),
        "weight_decay": np.full(steps, config["weight_decay"]),
        "lr_warmup_steps10": values({"peak": 1e-3, "end": 1e-5, "warmup_steps": 10}, 40, 10),
    }


@runner("cycleacr", "alphaction/solver/build.py:make_optimizer")
def parameter_groups(case: Case) -> dict:
    config, solver = case.config, case.config["solver"]
    assert solver["weight_decay_bias"] == solver["weight_decay_bn"] == 0
    assert solver["momentum"] == 0.9
    depth = int(re.search(r"Slowfast-Resnet(\d+)", config["backbone"])[1])
    table = model_table() | {"depth": depth, "frozen_norm": config["frozen_bn"]}
    entries = {e.name: e for e in detector_entries(build(table, 80, "float32"))}
    rules = SgdGroups(solver["bias_lr_factor"], solver["head_lr_factor"], config["frozen_bn"])
    groups = [
        rules.of(entries[name].path.removeprefix("params/"), True) for name in config["names"]
    ]
    assert all(group.train for group in groups)
    return {
        "lr": np.array([group.lr for group in groups]) * solver["base_lr"],
        "weight_decay": np.array([group.decay for group in groups]) * solver["weight_decay"],
    }


@runner("cycleacr", "VideoMAE-Action-Detection/optim_factory.py:get_parameter_groups")
def transformer_groups(case: Case) -> dict:
    config, depth = case.config, case.config["depth"]
    table = {"backbone": "vit", "frames": 16, "layers": depth, "levels": 1, "cycle_depth": 1}
    entries = {e.name: e for e in detector_entries(build(model_table() | table, 80, "float32"))}
    rates: dict[float, list] = {1.0: [], 5.0: []}
    decay, layers = [], []
    for name in config["names"]:
        entry = entries[name]
        path = entry.path.removeprefix("params/")

        def row(value, entry=entry):
            return value if entry.layer is None else value[entry.layer]

        for factor, found in rates.items():
            group = LayerGroups(depth, config["layer_decay"], factor).of(path)
            found.append(row(group.lr))
        decay.append(group.decay * config["weight_decay"])
        layers.append(row(LayerGroups(depth).layers(path)))
    return {
        "lr_scale": np.array(rates[1.0]),
        "lr_scale_factor5": np.array(rates[5.0]),
        "weight_decay": np.array(decay),
        "layer_id": np.array(layers),
        "layer_values_depth24": layer_scales(24, config["layer_decay"]),
    }


@runner(
    "cycleacr",
    "alphaction/modeling/roi_heads/action_head/metric.py:ActionAccuracyComputation",
)
def logged_accuracies(case: Case) -> dict:
    logits, labels = case.input("logits"), case.input("labels").astype(np.float32)
    exists = np.ones(len(logits), bool)
    found = objective.accuracies(logits, labels, exists, tuple(case.config["groups"]))
    kinds = ("pose_action", "object_interaction", "person_interaction")
    return {
        f"accuracy_{kind}": np.reshape(right / people, case.outputs[f"accuracy_{kind}"]["shape"])
        for kind, (right, people) in zip(kinds, found.values(), strict=True)
    }
