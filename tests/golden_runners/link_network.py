"""Golden runners of LinK's segmentation networks, losses and optimizer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.link import Rows
from jaxvision.methods.link.levels import LevelCapacities
from jaxvision.methods.link.segmentation import objective, weights
from jaxvision.methods.link.segmentation.network import SegmentationNetwork
from jaxvision.methods.link.segmentation.pyramid import build_pyramid
from jaxvision.training import schedules
from jaxvision.training.config import base_config
from jaxvision.training.optimizer import make_optimizer
from jaxvision.training.task import Group
from jaxvision.weights import to_state_dict, to_variables

MODELS = "segmentation/core/models/semantic_kitti"
COMPONENTS = {
    f"{MODELS}/linkunet.py:ELKUNet": "linkunet",
    f"{MODELS}/linkencoder.py:ELKEncoder": "linkencoder",
    f"{MODELS}/minkunet.py:MinkUNet": "minkunet",
}


@functools.cache
def network(component: str, config: Config):
    """Model, entries, and a jitted pass with losses and gradients where there are labels."""
    model = SegmentationNetwork(
        COMPONENTS[component],
        config["num_classes"],
        int(64 * config["cr"]),
        config.get("baseop", "cos_x"),
        config.get("groups", 1),
    )
    capacities = LevelCapacities(config.get("s"), config.get("r", 3))
    train = config["mode"] == "train"

    def forward(params, state, x, sites):
        (logits, found), updated = model.apply(
            {"params": params, **state},
            x,
            build_pyramid(sites, capacities),
            train,
            features=True,
            mutable=["batch_stats"],
        )
        return logits, found, updated

    @jax.jit
    def plain(params, state, x, sites):
        return forward(params, state, x, sites)

    @jax.jit
    def with_losses(params, state, x, sites, labels):
        def loss(params):
            logits, found, updated = forward(params, state, x, sites)
            losses = objective.segmentation_losses(logits, labels)
            return losses["cross_entropy"] + losses["lovasz"], (logits, found, updated, losses)

        return jax.grad(loss, has_aux=True)(params)

    return model, weights.network_entries(model), plain, with_losses


@runner("link", *COMPONENTS)
def segmentation_network(case: Case) -> dict:
    _, entries, plain, with_losses = network(case.component, case.config)
    rows = Rows(case.input("coords"))
    variables, _ = to_variables(case.state_dict(), entries)
    params, state = variables["params"], {"batch_stats": variables["batch_stats"]}
    x = rows.ours(case.input("feats"))
    answers = {}
    if case.has_input("labels"):
        labels = rows.ours(case.input("labels").astype(np.int32))
        gradients, (logits, found, updated, losses) = with_losses(
            params, state, x, rows.sites, labels
        )
        answers |= gradient_outputs(case.outputs, {"params": gradients}, entries)
        answers |= {f"loss/{name}": value for name, value in losses.items()}
    else:
        logits, found, updated = plain(params, state, x, rows.sites)
    for name, value in to_state_dict(updated, entries).items():
        answers[f"after_step_buffer/{name}"] = value
    answers["logits"] = rows.case(logits)
    for name, value in found.items():
        if name not in case.outputs:
            continue
        count = case.outputs[name]["shape"][0]
        whole = count == len(rows.of_case)
        answers[name] = rows.case(value) if whole else np.asarray(value)[0, :count]
    return answers


@runner(
    "link",
    "segmentation/core/lovasz_losses.py:lovasz_softmax; core/builder.py:make_criterion",
    fixed={"ignore": objective.IGNORE, "classes": "present"},
)
def losses(case: Case) -> dict:
    logits, labels = case.input("logits"), case.input("labels")
    assert logits.shape[-1] == case.config["num_classes"]
    answers = {}
    for name, loss in [
        ("cross_entropy", objective.cross_entropy),
        ("lovasz", objective.lovasz_softmax),
    ]:
        value, gradient = jax.jit(jax.value_and_grad(loss))(logits, labels)
        answers |= {name: value, f"grad_{name}/logits": gradient}
    return answers


def published_rate(base: float, world: int, batch_per_gpu: int, dataset: int, epochs: int):
    steps = epochs * -(-dataset // (batch_per_gpu * world))
    warmup = 0 if world == 1 else 1000 // world
    table = {"name": "half_cosine", "peak": base, "warmup_steps": warmup}
    return schedules.make(table, steps, 1)


@runner(
    "link",
    "segmentation/core/schedulers.py:cosine_schedule_with_warmup",
    ignores={"base_lr": "the outputs are factors on it"},
)
def learning_rates(case: Case) -> dict:
    answers = {}
    for name, recipe in case.config["cases"].items():
        steps = case.expected(f"{name}/step")
        rate = published_rate(1.0, **recipe)
        answers |= {f"{name}/step": steps, f"{name}/factor": jax.jit(rate)(jnp.asarray(steps))}
    return answers


@runner("link", "segmentation/core/builder.py:make_optimizer, make_scheduler")
def sgd_steps(case: Case) -> dict:
    config, optim = case.config, base_config().optim
    recipe = config["schedule"]
    steps = recipe["epochs"] * -(-recipe["dataset"] // (recipe["batch_per_gpu"] * recipe["world"]))
    optim.update({"name": "sgd", "momentum": config["momentum"], "nesterov": config["nesterov"]})
    warmup = 0 if recipe["world"] == 1 else 1000 // recipe["world"]
    optim.learning_rate = {"name": "half_cosine", "peak": config["lr"], "warmup_steps": warmup}
    optim.weight_decay.value = config["weight_decay"]
    groups = {"param": Group()}
    transform = make_optimizer(optim, groups, 1, steps, 1).transform
    params = {"param": jnp.asarray(case.input("param"))}
    state = transform.init(params)
    history = []
    for step in range(sum(name.startswith("grad") for name in case.input_names())):
        gradient = {"param": jnp.asarray(case.input(f"grad{step}"))}
        update, state = transform.update(gradient, state, params, step=step)
        params = jax.tree.map(jnp.add, params, update)
        history.append(np.asarray(params["param"]))
    return {"params": np.stack(history)}
