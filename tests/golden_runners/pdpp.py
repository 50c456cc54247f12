"""Golden runners of PDPP: the networks and the layout of their checkpoints."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.pdpp_residual_mlp import ResidualMLP, residual_mlp_entries
from jaxvision.methods.pdpp import weights
from jaxvision.methods.pdpp.blocks import ConvolutionBlock, Resample, ResidualBlock, sinusoid
from jaxvision.methods.pdpp.classifier import TaskClassifier
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.state import StateLayout
from jaxvision.weights import to_variables

UNET = "model/temporal.py:TemporalUnet"


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


@functools.cache
def unet(config: Config):
    """A bare U-Net on whole states, jitted with and without gradients."""
    layout = StateLayout(0, config["transition_dim"], 0)
    model = TemporalUNet(layout, config["dim"], tuple(config["dim_mults"]))

    @jax.jit
    def gradients(variables, x, t, cotangent):
        y, pull = jax.vjp(model.apply, variables, x, t)
        return (y, *pull(cotangent)[:2])

    return model, jax.jit(model.apply), gradients


@runner(
    "pdpp",
    UNET,
    UNET + " (zero-initialised convolutions)",
    fixed={"group_norm_groups": 32, "group_norm_eps": 1e-5, "kernel_size": 3},
    ignores={"horizons": "the shapes of the inputs say them"},
)
def whole_state_unet(case: Case) -> dict:
    assert not any(case.weight(name).any() for name in case.config.get("zero_initialised", []))
    model, forward, gradients = unet(case.config)
    entries = weights.unet_entries(model)
    variables, _ = to_variables(case.state_dict(), entries)
    t = case.input("t")
    states = [n for n in case.input_names() if n == "x" or n.startswith("x_t")]
    cotangent = case.input("cotangent")
    answers, matched = {}, None
    for name in states:
        x = case.input(name)
        if x.shape == cotangent.shape and matched is None:
            matched = name
            y, grads, grad_x = gradients(variables, x, t, cotangent)
            answers |= gradient_outputs(case.outputs, grads, entries, {"x": np.asarray(grad_x)})
            answers["grad_x"] = grad_x
        else:
            y = forward(variables, x, t)
        answers[name.replace("x", "y", 1)] = y
    return answers


@runner(
    "pdpp",
    "model/helpers.py and model/temporal.py",
    fixed={"groups": 32, "eps": 1e-5},
    ignores={"blocks": "says in words what the weights of each name are"},
)
def blocks(case: Case) -> dict:
    config, state_dict = case.config, case.state_dict()
    emb = case.input("emb")
    assert emb.shape[-1] == config["emb_dim"]

    def sizes(name: str) -> tuple[int, int]:
        outputs, inputs, _ = state_dict[f"{name}.weight"].shape
        return inputs, outputs

    def run(name: str, module, entries, *arguments) -> np.ndarray:
        part = {k: v for k, v in state_dict.items() if k.startswith(f"{name}.")}
        variables, _ = to_variables(part, entries)
        first, *rest = arguments
        return channels_last(jax.jit(module.apply)(variables, channels_last(first), *rest))

    answers = {}
    for call in case.outputs:
        name, bracket, arguments = call.rstrip(")").partition("(")
        if not bracket:
            continue
        inputs = [case.input(argument) for argument in arguments.split(",")]
        if name.startswith("conv_block"):
            module = ConvolutionBlock(*sizes(f"{name}.block.0"))
            entries = list(weights.block_entries(module, "params", name))
        elif name.startswith("res"):
            module = ResidualBlock(*sizes(f"{name}.blocks.0.block.0"), emb.shape[-1])
            entries = list(weights.residual_block_entries(module, "params", name))
            embedding = inputs.pop()
            time = to_variables(
                {k: v for k, v in state_dict.items() if k.startswith(f"{name}.")}, entries
            )[0]
            inputs.append(
                jax.jit(functools.partial(module.apply, method="time_term"))(time, embedding)
            )
        else:
            module = Resample(sizes(f"{name}.conv")[1], name == "up")
            entries = list(weights.resample_entries(module, "params", name))
        answers[call] = run(name, module, entries, *inputs)
    for name in case.outputs:
        if name.startswith("sinusoid_dim"):
            width = int(name.removeprefix("sinusoid_dim"))
            answers[name] = sinusoid(jnp.asarray(config["sinusoid_t"]), width)
    low, high, count = json.loads(f"[{config['mish_x'].removeprefix('linspace(').rstrip(')')}]")
    answers["mish"] = jax.jit(jax.nn.mish)(jnp.linspace(low, high, count))
    return answers


@runner("pdpp", "train_mlp.py:head")
def task_classifier(case: Case) -> dict:
    model = TaskClassifier(case.config["num_classes"], case.config["input_dim"])
    assert list(model.hidden) == case.config["hidden"]
    entries = weights.classifier_entries(model, data_parallel=False)
    variables, _ = to_variables(case.state_dict(), entries)
    labels = case.input("labels")

    @jax.jit
    def run(variables, observations):
        def mean_cross_entropy(variables):
            logits = model.apply(variables, observations)
            picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
            return -jnp.mean(picked), logits

        return jax.value_and_grad(mean_cross_entropy, has_aux=True)(variables)

    (value, logits), grads = run(variables, case.input("observations"))
    predicted = np.argmax(logits, axis=-1)
    answers = {"logits": logits, "loss": value, "predicted": predicted}
    answers["accuracy"] = 100 * np.mean(predicted == labels)
    return answers | gradient_outputs(case.outputs, grads, entries)


@runner("pdpp", "train_mlp.py:ResMLP")
def residual_mlp(case: Case) -> dict:
    config = case.config
    model = ResidualMLP(
        config["num_classes"],
        config["input_dim"],
        config["dim"],
        config["expansion_factor"],
        config["depth"],
    )
    variables, _ = to_variables(case.state_dict(), residual_mlp_entries(model))
    return {"logits": jax.jit(model.apply)(variables, case.input("x"))}


CHECKPOINT = "main_distributed.py:save_checkpoint2, train_mlp.py:save_checkpoint2"


@runner(
    "pdpp",
    CHECKPOINT,
    ignores={
        "file_keys": "what the file holds around these tensors",
        "mlp_file_keys": "what the file holds around these tensors",
    },
)
def checkpoint_layout(case: Case) -> dict:
    """The entries give the published names and shapes, in the published order, or this raises."""
    config = case.config
    published = config["crosstask_how"]
    bare = published["module.model.downs.0.0.blocks.0.block.0.weight"]
    steps, (dim, width, _) = published["module.betas"][0], bare
    layout = StateLayout(0, width, 0)
    answers = {}
    baseline = next(name for name in config if name.endswith("noise_or_deterministic"))
    for suffix, name, time in (("", "crosstask_how", True), ("_baseline", baseline, False)):
        entries = weights.planner_entries(TemporalUNet(layout, dim, time_embedding=time), steps)
        same_entries(entries, config[name])
        sizes = [int(np.prod(e.shape)) for e in entries if e.path]
        answers |= {f"parameters{suffix}": sum(sizes), f"tensors{suffix}": len(entries)}
    head = config["mlp_crosstask_how"]
    model = TaskClassifier(head["module.fc4.bias"][0], head["module.fc1.weight"][1])
    entries = weights.classifier_entries(model)
    same_entries(entries, head)
    return answers | {"parameters_mlp": sum(int(np.prod(e.shape)) for e in entries)}


def same_entries(entries, published: dict) -> None:
    ours = [(entry.name, list(entry.shape)) for entry in entries]
    assert ours == [(name, shape) for name, shape in published.items()]
