"""Golden runners of how STMixer is trained: learning rates, and which parameters decay."""

import re

import numpy as np

from golden_case import Case, runner
from jaxvision.methods.stmixer.task import parameter_group
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, TransformerMap
from jaxvision.training import schedules
from jaxvision.training.layer_decay import layer_scales, layers_of
from jaxvision.weights.video_transformer_entries import map_entries


@runner("stmixer", "alphaction/solver/lr_scheduler.py")
def learning_rates(case: Case) -> dict:
    config = case.config
    per_epoch, peak = config["iter_per_epoch"], config["base_lr"]
    warmup = {"start": config["warmup_factor"] * peak, "warmup_epochs": config["warmup_epoch"]}
    stairs = {"name": "milestones", "at_epochs": config["steps"], "factor": config["gamma"]}
    tables = {
        "warmup_multi_step": stairs,
        "warmup_constant": {**stairs, "warmup_shape": "constant"},
        "half_period_cosine": {
            "name": "cosine",
            "shifted": False,
            "shortened": False,
            "inclusive_warmup": False,
        },
    }
    steps = case.expected("iterations")
    answers = {"iterations": steps}
    for name, table in tables.items():
        schedule = schedules.make(
            {**table, **warmup, "peak": peak}, config["max_epoch"] * per_epoch, per_epoch
        )
        answers[name] = np.array([float(schedule(step)) for step in steps])
    return answers


def transformer_paths(shapes: dict) -> dict[str, tuple[str, int | None]]:
    """{official name: (our path, layer)} of a transformer's tensors."""
    names = [name for name in shapes if name.startswith("backbone.blocks.")]
    depth = 1 + max((int(name.split(".")[2]) for name in names), default=-1)
    if not depth:
        return {}
    width = shapes["backbone.norm.weight"][0]
    model = TransformerMap(CubeGrid(), BlockConfig(width, 1), depth)
    entries = map_entries(model, "backbone.", "params/backbone")
    return {e.name: (str(e.path).removeprefix("params/"), e.layer) for e in entries}


def path_of(name: str) -> str:
    """Where a tensor that is no transformer's lies, as far as its group asks."""
    if not name.startswith("backbone."):
        return f"decoder/{name}"
    norm = re.search(r"bn\.(weight|bias)$", name)
    if norm is None:
        return "backbone/network/conv/kernel"
    return f"backbone/network/norm/{'scale' if norm[1] == 'weight' else 'bias'}"


@runner(
    "stmixer",
    "alphaction/solver/build.py:make_optimizer",
    fixed={"weight_decay_bn": 0.0, "betas": [0.9, 0.999]},
)
def parameter_groups(case: Case) -> dict:
    config, shapes = case.config, case.weight_shapes
    of_transformer = transformer_paths(shapes)
    depth = 1 + max((layer for _, layer in of_transformer.values() if layer is not None), default=0)
    decay, layers = [], []
    for name in shapes:
        path, layer = of_transformer.get(name, (path_of(name), None))
        own = name in of_transformer
        factor = parameter_group(path).decay
        decay.append(factor * config["vit_weight_decay" if own else "weight_decay"])
        found = layers_of(path.removeprefix("backbone/"), depth) if own else -1
        layers.append(found if layer is None else found[layer])
    # A network without a transformer has no use for its decay.
    assert config["vit_weight_decay"] >= 0
    answers = {"weight_decay": decay, "learning_rate": [config["base_lr"]] * len(decay)}
    for name in case.outputs:
        if name.startswith("layer_scale_"):
            answers[name] = layer_scales(depth, float(name.rpartition("_")[2]))
        elif name == "layer_id":
            answers[name] = np.array(layers)
    return answers
