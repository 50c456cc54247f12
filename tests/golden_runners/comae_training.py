"""Golden runners of how CoMAE is trained: groups, schedules, steps, mixing, pictures, metrics."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image

from golden_case import Case, runner
from golden_runners.comae import (
    BRANCHES,
    autoencoder_answers,
    classifier_forward,
    classifier_loss,
    complete,
    halves,
    network,
    network_key,
    variables_of,
)
from jaxvision.data.crops import Box
from jaxvision.data.mixing import Mix, box_of, mix_batch
from jaxvision.data.normalisation import IMAGENET, normalise
from jaxvision.data.rgbd_transforms import EvaluationPair, TrainingPair
from jaxvision.methods.comae.parameter_groups import finetuning_group, pretraining_group
from jaxvision.methods.comae.recipes import AUTOENCODER_START, CLASSIFIER_START
from jaxvision.metrics.multi_view import class_recalls, top_k
from jaxvision.metrics.segmentation import confusion_matrix
from jaxvision.nn.transformer import drop_path_rates, drop_samples
from jaxvision.ops.cross_entropy import smooth_one_hot, soft_cross_entropy
from jaxvision.ops.position_tables import resize_spatial
from jaxvision.training import initialisation, schedules
from jaxvision.training.config import base_config
from jaxvision.training.optimizer import make_optimizer
from jaxvision.weights import to_state_dict, to_variables
from jaxvision.weights.mapping import flatten, unflatten


@runner("comae", "util/lr_decay.py:param_groups_lrd, timm/optim/optim_factory.py:add_weight_decay")
def parameter_groups(case: Case) -> dict:
    config = case.config
    sizes = dict(image_size=224, patch_size=16, in_channels=3, embed_dim=768, num_heads=12)
    sizes |= dict(depth=config["depth"], mlp_ratio=4, qkv_bias=True, norm_eps=1e-6)
    sizes |= dict(decoder_embed_dim=512, decoder_depth=8, decoder_num_heads=16)
    sizes |= dict(num_classes=19, pooling="mean", activation="gelu (erf)")
    answers = {}
    for stage in ("finetune", "cpc", "mm_mae"):
        _, entries = network(sizes | {"stage": stage})
        known = {entry.name: entry for entry in entries}
        groups, rates = [], []
        for name in config[f"{stage}_names"]:
            path = known[name].path.removeprefix("params/")
            group = (
                finetuning_group(path, config["depth"], config["layer_decay"])
                if stage == "finetune"
                else pretraining_group(path)
            )
            groups.append(group)
            layer = known[name].layer
            rates.append(group.lr if np.ndim(group.lr) == 0 else group.lr[layer])
        decays = np.array([group.decay for group in groups]) * config["weight_decay"]
        answers[f"{stage}_weight_decay"] = decays
        if stage != "finetune":
            # Tables that are not trained: in no group.
            frozen = [e.name for e in entries if not e.path.startswith("params/")]
            assert frozen == config[f"{stage}_frozen"]
        if stage == "finetune":
            answers["finetune_lr_scale"] = np.array(rates)
    answers["finetune_drop_path_rates"] = drop_path_rates(config["drop_path"], config["depth"])[1:]
    return answers


def rate_table(peak: float, config: dict) -> dict:
    return {
        "name": "cosine",
        "clock": "fractional_epoch",
        "inclusive_warmup": False,
        "peak": peak,
        "end": config["min_lr"],
        "warmup_epochs": config["warmup_epochs"],
    }


@runner("comae", "util/lr_sched.py:adjust_learning_rate")
def learning_rates(case: Case) -> dict:
    answers = {}
    for name, recipe in case.config["recipes"].items():
        assert case.config["lr_rule"] == "peak = blr * effective_batch / 256"
        # A thousand steps an epoch: the sampled epochs are whole steps.
        per_epoch = 1000
        schedule = schedules.make(
            rate_table(recipe["blr"] * recipe["effective_batch"] / 256, recipe),
            recipe["epochs"] * per_epoch,
            per_epoch,
        )
        epochs = np.array(case.config["epochs_sampled"][name])
        answers[name] = jax.vmap(schedule)(np.rint(epochs * per_epoch).astype(int))
    answers["finetune_group_lr_scale_0.65^3"] = answers["finetune"] * 0.65**3
    return answers


def optimizer_of(config: dict, groups: dict):
    optim = base_config().optim
    betas = config["optimizer"].split("(")[1].split(")")[0].split(",")
    optim.b1, optim.b2 = (float(value) for value in betas)
    optim.eps = float(config["optimizer"].split("eps ")[1])
    optim.weight_decay.value = config["weight_decay"]
    optim.learning_rate = rate_table(config["peak_lr"], config)
    return make_optimizer(optim, unflatten(groups), 1, 2 * config["epochs"], 2)


def trained(config: dict, params: dict, groups: dict, gradients_of) -> tuple[list, dict]:
    """(loss before each step, parameters after the last) of a case's steps."""
    optimizer = optimizer_of(config, groups)
    state, losses = optimizer.transform.init(params), []

    @jax.jit
    def apply(gradients, params, state, step):
        updates, state = optimizer.transform.update(gradients, state, params, step=step)
        return optax.apply_updates(params, updates), state

    for number, epoch in enumerate(config["epoch_at_step"]):
        loss, gradients = gradients_of(params, number)
        losses.append(loss)
        params, state = apply(gradients, params, state, int(2 * epoch))
    return losses, params


def norms_after(case: Case, variables: dict, entries) -> dict:
    after = dict(to_state_dict(variables, entries))
    return {
        name: np.linalg.norm(np.float64(after[name.partition("/")[2]]))
        for name in case.outputs
        if name.startswith("param_l2/") and name.partition("/")[2] in after
    }


@runner(
    "comae",
    "models_mm_mae.py, timm/optim/optim_factory.py:add_weight_decay, util/lr_sched.py",
)
def autoencoder_steps(case: Case) -> dict:
    config = json.loads(network_key(case.config))
    model, entries = network(config)
    variables = variables_of(case, model, entries)
    groups = {path: pretraining_group(path) for path in flatten(variables["params"])}

    def gradients_of(params, number):
        now = {**variables, "params": params}
        answers, gradients = autoencoder_answers(case, config, now, f"_{number}")
        return answers["loss"], gradients

    losses, params = trained(case.config, variables["params"], groups, gradients_of)
    after = {**variables, "params": params}
    return {"losses": np.array(losses)} | norms_after(case, after, entries)


@runner("comae", "util/lr_decay.py, util/lr_sched.py, torch.optim.AdamW")
def finetuning_steps(case: Case) -> dict:
    config = case.config
    model, entries = network(config)
    variables, _ = to_variables(case.state_dict(), entries)
    assert config["soft_targets"] == "softmax(target_logits) over classes"
    loss, target = classifier_loss(network_key(config)), jax.nn.softmax(case.input("target_logits"))
    groups = {
        path: finetuning_group(path, model.depth, config["layer_decay"])
        for path in flatten(variables["params"])
    }

    def gradients_of(params, number):
        seen = jnp.array(BRANCHES[config["modality_per_step"][number]])
        return loss(params, *halves(case), seen, target)

    losses, params = trained(config, variables["params"], groups, gradients_of)
    return {"losses": np.array(losses)} | norms_after(case, {"params": params}, entries)


@runner("comae", "main_pretrain_mm_mae.py, main_finetune.py (non-strict loading)")
def chain(case: Case) -> dict:
    """Three networks, each started from the one before as a recipe's `init` does."""
    named = case.state_dict()
    stages = ("stage1", "stage2", "finetune")
    parts, variables = {}, {}
    for stage in stages:
        parts[stage] = network(case.config[stage])
        own = {
            name.removeprefix(f"{stage}."): array
            for name, array in named.items()
            if name.startswith(f"{stage}.")
        }
        variables[stage] = complete(own, *parts[stage])
    for before, after, link in (
        ("stage1", "stage2", AUTOENCODER_START),
        ("stage2", "finetune", CLASSIFIER_START),
    ):
        source = variables[before]
        variables[after], reports = initialisation.apply(
            variables[after], [{"from": before, **link}], lambda _, source=source: source
        )
        expected = case.config["transfer"][f"{before}_to_{after}"]
        loaded = {entry.name for entry in parts[after][1] if entry.path in set(reports[0].loaded)}
        assert loaded == set(expected["loaded"]), loaded ^ set(expected["loaded"])
        assert {e.name for e in parts[after][1]} - loaded == set(expected["missing"])
        assert {e.name for e in parts[before][1] if e.path in set(reports[0].dropped)} == set(
            expected["unexpected"]
        )
    answers, _ = autoencoder_answers(case, case.config["stage2"], variables["stage2"])
    forward = classifier_forward(json.dumps(case.config["finetune"], sort_keys=True))
    rgb, depth = (np.moveaxis(case.input(name), 1, -1) for name in ("rgb", "depth"))
    logits, features = forward(variables["finetune"], rgb, depth, "both")
    return {
        "stage2_loss": answers["loss"],
        "stage2_latent": answers["latent"],
        "finetune_logits": logits,
        "finetune_features": features,
    }


@runner("comae", "timm/models/layers/drop.py:drop_path")
def stochastic_depth(case: Case) -> dict:
    branch, draw = jnp.asarray(case.input("x")), jnp.asarray(case.input("u"))
    return {"y": jax.jit(drop_samples)(branch, draw, case.config["rate"])}


@runner("comae", "timm/data/mixup.py:Mixup (batch mode)")
def mixing(case: Case) -> dict:
    config, answers = case.config, {}
    labels = jnp.array(config["targets"])
    pictures = jnp.asarray(np.moveaxis(case.input("images"), 1, -1))
    draws = {
        "mixup": Mix(jnp.array([config["mixup_lam"]]), jnp.array([False]), jnp.zeros((1, 2), int)),
        "cutmix": Mix(
            jnp.array([config["cutmix_lam"]]),
            jnp.array([True]),
            jnp.array([config["cutmix_centre_yx"]]),
        ),
    }
    for name, draw in draws.items():
        mixed, target, _ = mix_batch(
            pictures,
            labels,
            draw,
            classes=config["num_classes"],
            smoothing=config["label_smoothing"],
        )
        answers[f"{name}_images"] = np.moveaxis(np.asarray(mixed), -1, 1)
        answers[f"{name}_targets"] = target
    logits = case.input("logits")
    smooth = smooth_one_hot(labels, config["num_classes"], config["label_smoothing"])
    answers["soft_target_loss"] = jnp.mean(soft_cross_entropy(logits, answers["mixup_targets"]))
    answers["label_smoothing_loss"] = jnp.mean(soft_cross_entropy(logits, smooth))
    queries = np.array(config["box_queries_lam_cy_cx"])
    height, width = config["box_image_hw"]
    drawn = Mix(
        jnp.array(queries[:, 0]), jnp.ones(len(queries), bool), jnp.array(queries[:, 1:], int)
    )
    (top, left), (bottom, right) = np.moveaxis(np.asarray(box_of(drawn, (height, width))), 0, -1)
    answers["boxes"] = np.stack([top, bottom, left, right], 1)
    answers["box_lam"] = 1 - (bottom - top) * (right - left) / (height * width)
    return answers


@runner(
    "comae",
    "util/datasets.py:build_dataset2, pre_dataset.py:RandomResizedCrop, RandomHorizontalFlip",
)
def transforms(case: Case) -> dict:
    config = case.config
    canvas = Image.fromarray(case.input("image"))
    middle = canvas.width // 2
    rgb = canvas.crop((0, 0, middle, canvas.height))
    depth = canvas.crop((middle, 0, canvas.width, canvas.height))
    height, width = config["eval_size_hw"]
    seen = np.concatenate(EvaluationPair(height).resized(rgb, depth), axis=1)
    assert seen.shape[:2] == (height, width)
    training = TrainingPair(height, scale=(0.7, 1), aspect=(0.7, 1.2), flip=0.5)
    box = Box(*config["crop_top_left_height_width"])
    cropped = training.cut(rgb, depth, box, False)
    flipped = training.cut(rgb, depth, box, config["horizontal_flip"])
    joined = np.concatenate(flipped, axis=1).astype(np.float32)
    top, left, tall, wide = config["erase_top_left_height_width"]
    joined[top : top + tall, left : left + wide] = 0
    assert np.allclose(config["mean"], IMAGENET.mean)
    assert np.allclose(config["std"], IMAGENET.deviation)
    return {
        "eval_uint8": seen,
        "eval_tensor": np.moveaxis(np.asarray(normalise(seen)), -1, 0),
        "crop_uint8": np.concatenate(cropped, axis=1),
        "train_tensor": np.moveaxis(np.asarray(normalise(joined)), -1, 0),
    }


@runner("comae", "util/pos_embed.py:interpolate_pos_embed")
def resized_tables(case: Case) -> dict:
    config, table = case.config, case.input("pos_embed")[0]
    rows, side = config["class_rows"], config["grid_from"]
    answers = {}
    for new in config["grid_to"]:
        resized = resize_spatial(table[rows:], (1, side, side), (new, new))
        assert resized.shape[1] == config["dim"]
        answers[f"grid{side}_to_{new}"] = np.concatenate([table[:rows], resized])[None]
    return answers


@runner("comae", "engine_finetune.py:mean_class_acc, timm/utils/metrics.py:accuracy")
def metrics(case: Case) -> dict:
    logits, labels = case.input("logits"), case.input("targets")
    classes, size = case.config["num_classes"], case.config["batch_size"]
    losses = jax.nn.logsumexp(logits, axis=1) - np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    counts = confusion_matrix(np.argmax(logits, axis=1), labels, classes).T
    batches = [np.mean(losses[i : i + size]) for i in range(0, len(labels), size)]
    return {
        "top1": 100 * top_k(logits, labels, 1),
        "top5": 100 * top_k(logits, labels, 5),
        "mean_class": 100 * np.mean(class_recalls(counts)),
        "loss": np.mean(batches),
    }
