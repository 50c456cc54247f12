"""Golden runners of SparseFormer: whole models, images and clips, values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.sparseformer import architecture
from jaxvision.methods.sparseformer.architecture import Architecture, Flavour, Unit
from jaxvision.methods.sparseformer.model import SparseFormer
from jaxvision.methods.sparseformer.weights import (
    entries_of,
    inflate,
    inflated,
    renamed_layout,
)
from jaxvision.ops.cross_entropy import soft_cross_entropy
from jaxvision.weights import to_state_dict, to_variables

OPERATIONS = {
    "ATTN": "attention",
    "MLP": "mlp",
    "ROI_ADJ": "adjust",
    "SAMPLING_M": "sample",
    "PE_INJECT": "position",
}
PAPER = "imagenet/models/sparseformer.py:SparseFormer"
PACKAGE = "sparseformer/sparseformer/modeling.py:SparseFormer"
VIDEO = "sparseformer/sparseformer/media.py:MediaSparseFormer"
SHOWLAB = "showlab/sparseformer@f4484c4:"


def paper_architecture(config: dict) -> Architecture:
    units = []
    for width, blocks, repeats in zip(
        config["width_configurations"], config["block_sizes"], config["repeats"], strict=True
    ):
        units.append(Unit(width, architecture.FOCUS, repeats))
        units += [Unit(width, architecture.PLAIN) for _ in range(blocks - 1)]
    return Architecture(
        tokens=config["num_latent_tokens"],
        points=config["token_sampling_points"],
        channels=config["conv_dim"],
        units=tuple(units),
        outputs=config.get("num_classes", 1000),
        drop_path=config["drop_path_rate"],
    )


def package_architecture(config: dict) -> Architecture:
    given = config["compatible_config"]
    sampling = given["grid_sample_config"]
    assert (sampling["mode"], sampling["align_corners"]) == ("bilinear", False)
    flavour = Flavour(
        **{
            **vars(architecture.PACKAGE),
            "norm_epsilon": given["ln_eps"],
            "head_width": 64 if given["type_num_attn_heads"] == 2 else 0,
            "adjust_hidden": given["type_op_adjust"] == 2,
            "padding": sampling["padding_mode"],
            "mixing_biases": given["mixing_bias"],
            "generator_width": given["pg_inner_dim"],
            "transition_norm": given["transition_ln"],
            "stage_embedding": given["use_stage_embedding"],
            "one_embedding": config["same_token_embedding"],
            "quick_gelu": given["clip_quick_gelu"],
            "clamp": float(given["restrict_grad_norm"]),
        }
    )
    units = tuple(
        Unit(width, tuple(OPERATIONS[name] for name in operations), repeats)
        for width, operations, repeats in zip(
            config["width_configs"], config["ops_list"], config["repeats"], strict=True
        )
    )
    pooled, before = config["head_op"] == "avg", config.get("cls_token_insert_layer", 0)
    return Architecture(
        tokens=config["num_latent_tokens"],
        points=config["num_sampling_points"],
        channels=config["conv_dim"],
        units=units,
        outputs=config["proj_dim"],
        flavour=flavour,
        head_bias=config.get("proj_bias", True),
        class_token_before=0 if pooled else before,
        drop_path=config.get("drop_path_rate", 0.0),
    )


def architecture_of(config: dict) -> Architecture:
    if config["variant"] == "imagenet":
        return paper_architecture(config)
    found = package_architecture(config)
    return inflated(found, config["replicates"]) if config["variant"] == "video" else found


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1)


@functools.cache
def compiled(arch: Architecture):
    """(the answer to pictures, and the gradient of sum(logits * cotangent))."""
    model = SparseFormer(arch)

    @jax.jit
    def gradients(variables, images, cotangent):
        def value(variables):
            answer = model.apply(variables, images, method="trace")
            return jnp.sum(answer.logits * cotangent), answer

        (_, answer), grads = jax.value_and_grad(value, has_aux=True)(variables)
        return answer, grads

    return jax.jit(functools.partial(model.apply, method="trace")), gradients


def named(answer, prefix: str = "") -> dict:
    return {
        f"{prefix}{name}": getattr(answer, name)
        for name in ("logits", "tokens", "boxes", "boxes_after_unit")
    }


def images_of(case: Case) -> np.ndarray:
    return channels_last(case.input("video" if case.has_input("video") else "image"))


@runner(
    "sparseformer",
    PAPER,
    PACKAGE,
    VIDEO,
    ignores={"model_type": "its name in the package's factory"},
)
def whole_model(case: Case) -> dict:
    arch = architecture_of(case.config)
    entries = entries_of(arch)
    variables, _ = to_variables(case.state_dict(), entries)
    forward, gradients = compiled(arch)
    if not case.has_input("grad_output"):
        return named(forward(variables, images_of(case)))
    answer, grads = gradients(variables, images_of(case), case.input("grad_output"))
    return named(answer) | gradient_outputs(case.outputs, grads, entries)


@runner("sparseformer", VIDEO + ".load_2d_state_dict")
def inflated_model(case: Case) -> dict:
    arch = architecture_of(case.config)
    entries = entries_of(arch)
    tensors = inflate(case.state_dict(), case.config["replicates"])
    variables, _ = to_variables(tensors, entries)
    answer, grads = compiled(arch)[1](variables, images_of(case), case.input("grad_output"))
    answers = named(answer) | gradient_outputs(case.outputs, grads, entries)
    official = to_state_dict(grads, entries)
    for name in case.outputs:
        kind, _, tensor = name.partition("/")
        if kind == "inflated":
            answers[name] = tensors[tensor]
        elif kind in ("grad_l2_space", "grad_l2_time"):
            rows = official[tensor].reshape(-1, 3, official[tensor].shape[-1])
            part = rows[:, :2] if kind == "grad_l2_space" else rows[:, 2:]
            answers[name] = np.linalg.norm(part.astype(np.float64))
    return answers


@runner(
    "sparseformer",
    f"{PAPER}; {SHOWLAB}sparseformer/sparseformer/ckpt_utils.py:convert_ckpt_v1_to_v2",
)
def both_code_bases(case: Case) -> dict:
    tensors, answers = case.state_dict(), {}
    for name, make in (("imagenet", paper_architecture), ("package", package_architecture)):
        arch = make(case.config[name])
        entries = entries_of(arch)
        layout = renamed_layout(arch.flavour.paper_names)
        given = tensors
        if layout.recognise(tensors):
            given = layout.to_official(tensors, [entry.name for entry in entries])
            assert list(layout.from_official(given)) != list(given)
        variables, _ = to_variables(given, entries)
        answers |= named(compiled(arch)[0](variables, images_of(case)), f"{name}_")
    return answers


@functools.cache
def training_step(config: Config):
    arch = paper_architecture(config)
    model = SparseFormer(arch)

    @jax.jit
    def step(variables, images, target_logits):
        target = jax.nn.softmax(config["target_softmax_factor"] * target_logits)

        def value(variables):
            logits = model.apply(variables, images, gradient_scale=config["grad_scale"])
            loss = jnp.mean(soft_cross_entropy(logits, target))
            return config["loss_multiplier"] * loss, (loss, logits)

        return jax.value_and_grad(value, has_aux=True)(variables)

    return arch, step


@runner(
    "sparseformer",
    PAPER + " + timm 0.3.2 SoftTargetCrossEntropy",
    fixed={"variant": "imagenet"},
)
def train_step(case: Case) -> dict:
    arch, step = training_step(case.config)
    entries = entries_of(arch)
    variables, _ = to_variables(case.state_dict(), entries)
    (_, (loss, logits)), grads = step(variables, images_of(case), case.input("target_logits"))
    answers = {"loss": loss, "logits": logits}
    return answers | gradient_outputs(case.outputs, grads, entries)
