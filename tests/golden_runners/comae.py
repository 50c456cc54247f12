"""Golden runners of CoMAE's networks, their losses, gradients and names."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.comae import objective
from jaxvision.methods.comae.model import (
    MultiModalAutoencoder,
    PatchContrast,
    PatchGrid,
    SceneClassifier,
    fixed_positions,
)
from jaxvision.methods.comae.weights import (
    autoencoder_entries,
    classifier_entries,
    contrast_entries,
)
from jaxvision.nn.positions import sincos_2d
from jaxvision.nn.transformer import BlockConfig
from jaxvision.ops.cross_entropy import smooth_one_hot, soft_cross_entropy
from jaxvision.weights import to_variables
from jaxvision.weights.mapping import Entry

# Which of (RGB, depth) a branch of the fine-tuned network sees.
BRANCHES = {"both": (True, True), "depth_only": (False, True), "rgb_only": (True, False)}


def network(config: dict):
    """The network of a case's config, and its official entries."""
    assert config["activation"] == "gelu (erf)"
    assert config["qkv_bias"]
    assert config["in_channels"] == 3
    grid = PatchGrid(config["image_size"], config["patch_size"])

    def block(prefix: str = "") -> BlockConfig:
        return BlockConfig(
            config[f"{prefix}embed_dim"],
            config[f"{prefix}num_heads"],
            mlp_ratio=config["mlp_ratio"],
            fused_bias=True,
            norm_epsilon=config["norm_eps"],
            drop_path=config.get("drop_path_rate", 0.0),
        )

    if config["stage"] == "cpc":
        model = PatchContrast(grid, block(), config["depth"])
        return model, contrast_entries(model)
    if config["stage"] == "mm_mae":
        model = MultiModalAutoencoder(
            grid, block(), config["depth"], block("decoder_"), config["decoder_depth"]
        )
        return model, autoencoder_entries(model)
    model = SceneClassifier(
        grid, block(), config["depth"], config["num_classes"], config["pooling"]
    )
    return model, classifier_entries(model)


def variables_of(case: Case, model, entries: list[Entry]) -> dict:
    """The case's weights; the tables that its list of weights leaves out by their formula."""
    return complete(case.state_dict(), model, entries)


def complete(named: dict, model, entries: list[Entry]) -> dict:
    if isinstance(model, MultiModalAutoencoder):
        for name, width in (
            ("pos_embed", model.block.width),
            ("decoder_pos_embed", model.decoder_block.width),
        ):
            named[name] = fixed_positions(model.grid, width)[None]
    variables, _ = to_variables(named, entries)
    return variables


def picture(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, 1, -1)


def channels_first(values) -> np.ndarray:
    return np.moveaxis(np.asarray(values), -1, 1)


def pair(case: Case) -> tuple[np.ndarray, np.ndarray]:
    return picture(case.input("rgb")), picture(case.input("depth"))


def halves(case: Case) -> tuple[np.ndarray, np.ndarray]:
    rgb, depth = np.split(picture(case.input("image")), 2, axis=2)
    return rgb, depth


@functools.cache
def contrast_step(key: str):
    model, _ = network(json.loads(key))

    @jax.jit
    def step(variables, rgb, depth):
        def loss(params):
            logits = model.apply({"params": params}, rgb, depth)
            return jnp.mean(objective.contrast_loss(logits)), logits

        (value, logits), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        seen = model.apply(variables, rgb, depth, method="features")
        answers = {"loss": value, "logits": logits}
        return answers | dict(zip(("features_rgb", "features_depth"), seen, strict=True)), gradients

    return step


@runner("comae", "models_cpc.py:MaskedAutoencoderViT")
def contrast(case: Case) -> dict:
    model, entries = network(case.config)
    variables = variables_of(case, model, entries)
    step = contrast_step(json.dumps(dict(case.config), sort_keys=True))
    answers, gradients = step(variables, *pair(case))
    return answers | gradient_outputs(case.outputs, {"params": gradients}, entries)


@functools.cache
def autoencoder_step(key: str):
    config = json.loads(key)
    model, _ = network(config)
    kept = objective.kept_count(model.grid.patches, config["mask_ratio"])

    @jax.jit
    def step(variables, rgb, depth, noise_rgb, noise_depth):
        (kept_rgb, mask_rgb), (kept_depth, mask_depth) = (
            objective.masked_patches(noise, kept) for noise in (noise_rgb, noise_depth)
        )

        def loss(params):
            predicted = model.apply(
                {**variables, "params": params}, rgb, depth, kept_rgb, kept_depth
            )
            total = 0.0
            for seen, of, mask in zip(predicted, (rgb, depth), (mask_rgb, mask_depth), strict=True):
                target = objective.patch_targets(model.grid.cut(of), config["norm_pix_loss"])
                error, weight = objective.masked_error(seen, target, mask)
                total += error / weight
            return total, predicted

        (value, predicted), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        latent = model.apply(variables, (rgb, depth), (kept_rgb, kept_depth), method="encode")
        answers = {
            "loss": value,
            "latent": latent,
            "mask_rgb": mask_rgb,
            "mask_depth": mask_depth,
            "pred_rgb": model.grid.join(predicted[0]),
            "pred_depth": model.grid.join(predicted[1]),
        }
        return answers, gradients

    return step


def autoencoder_answers(case: Case, config: dict, variables: dict, suffix: str = "") -> tuple:
    step = autoencoder_step(json.dumps(config, sort_keys=True))
    noise = [case.input(f"noise_{name}{suffix}") for name in ("rgb", "depth")]
    answers, gradients = step(variables, *pair(case), *noise)
    for name in ("pred_rgb", "pred_depth"):
        answers[name] = channels_first(answers[name])
    return answers, gradients


@runner("comae", "models_mm_mae.py:MaskedAutoencoderViT")
def autoencoder(case: Case) -> dict:
    model, entries = network(case.config)
    variables = variables_of(case, model, entries)
    answers, gradients = autoencoder_answers(case, dict(case.config), variables)
    return answers | gradient_outputs(case.outputs, {"params": gradients}, entries)


@functools.cache
def classifier_forward(key: str):
    model, _ = network(json.loads(key))

    @functools.partial(jax.jit, static_argnames="branch")
    def forward(variables, rgb, depth, branch):
        seen = jnp.tile(jnp.array(BRANCHES[branch]), (len(rgb), 1))
        # The whole sequence without a mask where both are seen, as evaluation runs it.
        seen = None if branch == "both" else seen
        features = model.apply(variables, rgb, depth, seen, features=True)
        return model.apply(variables, rgb, depth, seen), features

    return forward


@runner("comae", "models_vit_multitask.py:VisionTransformer")
def classifier(case: Case) -> dict:
    model, entries = network(case.config)
    variables = variables_of(case, model, entries)
    forward = classifier_forward(json.dumps(dict(case.config), sort_keys=True))
    answers = {}
    answers["logits"], answers["features"] = forward(variables, *halves(case), "both")
    for branch in BRANCHES:
        if f"logits_{branch}" in case.outputs or f"features_{branch}" in case.outputs:
            answers[f"logits_{branch}"], answers[f"features_{branch}"] = forward(
                variables, *halves(case), branch
            )
    return answers


@functools.cache
def classifier_loss(key: str):
    model, _ = network(json.loads(key))

    @jax.jit
    def loss(params, rgb, depth, seen, target):
        def value(params):
            logits = model.apply({"params": params}, rgb, depth, jnp.tile(seen, (len(rgb), 1)))
            return jnp.mean(soft_cross_entropy(logits, target))

        return jax.value_and_grad(value)(params)

    return loss


NETWORK_KEYS = (
    "stage",
    "image_size",
    "patch_size",
    "in_channels",
    "embed_dim",
    "depth",
    "num_heads",
    "decoder_embed_dim",
    "decoder_depth",
    "decoder_num_heads",
    "mlp_ratio",
    "qkv_bias",
    "norm_eps",
    "norm_pix_loss",
    "mask_ratio",
    "num_classes",
    "pooling",
    "drop_path_rate",
    "activation",
)


def network_key(config) -> str:
    """The part of a config that says the network, as a key for compiled functions."""
    return json.dumps({key: config[key] for key in NETWORK_KEYS if key in config}, sort_keys=True)


@runner("comae", "models_vit_multitask.py:VisionTransformer + timm/loss/cross_entropy.py")
def classifier_gradients(case: Case) -> dict:
    model, entries = network(case.config)
    variables = variables_of(case, model, entries)
    assert case.config["soft_targets"] == "softmax(target_logits) over classes"
    loss = classifier_loss(network_key(case.config))
    soft = jax.nn.softmax(case.input("target_logits"))
    answers = {}
    for branch, seen in BRANCHES.items():
        answers[f"loss_{branch}"], gradients = loss(
            variables["params"], *halves(case), jnp.array(seen), soft
        )
        answers |= gradient_outputs(
            case.outputs, {"params": gradients}, entries, suffix=f"_{branch}"
        )
    smooth = smooth_one_hot(
        jnp.array(case.config["hard_labels"]),
        case.config["num_classes"],
        case.config["label_smoothing"],
    )
    answers["loss_label_smoothing_both"], _ = loss(
        variables["params"], *halves(case), jnp.array(BRANCHES["both"]), smooth
    )
    return answers


@runner("comae", "models_mm_mae.py:patchify, unpatchify, random_masking, forward_loss")
def patches_and_masks(case: Case) -> dict:
    grid = PatchGrid(case.config["image_size"], case.config["patch_size"])
    rgb, depth = pair(case)
    answers = {
        "patches_rgb": grid.cut(rgb),
        "image_from_pred_rgb": channels_first(grid.join(jnp.asarray(case.input("pred_rgb")))),
    }
    tokens = case.input("tokens")

    def masked(noise: str, ratio: float):
        count = objective.kept_count(grid.patches, ratio)
        return objective.masked_patches(jnp.asarray(case.input(noise)), count)

    for ratio in case.config["ratios"]:
        kept, mask = masked("noise", ratio)
        answers[f"kept_{ratio}"] = np.take_along_axis(tokens, np.asarray(kept)[..., None], 1)
        answers[f"mask_{ratio}"] = mask
        # The published order of all patches undone: where each place's patch went.
        answers[f"ids_restore_{ratio}"] = np.argsort(np.argsort(case.input("noise"), 1), 1)
    ratio = case.config["loss_mask_ratio"]
    masks = masked("noise", ratio)[1], masked("noise_depth", ratio)[1]
    answers[f"mask_depth_{ratio}"] = masks[1]
    for name, normalised in (("loss_norm_pix", True), ("loss_raw", False)):
        total = 0.0
        for modality, seen, mask in zip(("rgb", "depth"), (rgb, depth), masks, strict=True):
            target = objective.patch_targets(grid.cut(seen), normalised)
            error, weight = objective.masked_error(case.input(f"pred_{modality}"), target, mask)
            total += error / weight
        answers[name] = total
    return answers


@runner("comae", "util/pos_embed.py:get_2d_sincos_pos_embed")
def sincos_tables(case: Case) -> dict:
    answers = {}
    for table in case.config["tables"]:
        values = sincos_2d(table["grid"], table["dim"])
        first = np.zeros((int(table["class_row"]), table["dim"]), np.float32)
        answers[table["output"]] = np.concatenate([first, values])
    return answers


@runner("comae", "models_cpc.py, models_mm_mae.py, models_vit_multitask.py")
def names_and_counts(case: Case) -> dict:
    config, answers = case.config, {}
    decoder = config["decoder"]
    for name, official in config["names"].items():
        size, stage = name.split("/")
        variant = config["variants"][size]
        grid = PatchGrid(config["image_size"], config["patch_size"])
        block = BlockConfig(variant["embed_dim"], variant["num_heads"], fused_bias=True)
        if stage == "cpc":
            entries = contrast_entries(PatchContrast(grid, block, variant["depth"]))
        elif stage == "mm_mae":
            second = BlockConfig(decoder["embed_dim"], decoder["num_heads"], fused_bias=True)
            entries = autoencoder_entries(
                MultiModalAutoencoder(grid, block, variant["depth"], second, decoder["depth"])
            )
        else:
            pooling = "mean" if stage.endswith("mean") else "class_token"
            entries = classifier_entries(
                SceneClassifier(grid, block, variant["depth"], config["num_classes"], pooling)
            )
        assert [(e.name, list(e.shape)) for e in entries] == [
            (key, list(shape)) for key, shape in official.items()
        ], name

        def size_of(entries: list[Entry]) -> int:
            return sum(int(np.prod(entry.shape)) for entry in entries)

        answers[f"{name}/total"] = size_of(entries)
        answers[f"{name}/trainable"] = size_of([e for e in entries if e.path.startswith("params/")])
        answers[f"{name}/tensors"] = len(entries)
    return answers
