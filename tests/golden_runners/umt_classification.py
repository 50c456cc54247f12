"""Golden runners of UMT's classifier and of how it is trained and sampled."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.umt import channels_last, encoder_block
from golden_runners.videomae_finetuning import row_of
from jaxvision.data import video_clips
from jaxvision.methods.umt.variants import POSITION_WINDOW
from jaxvision.metrics.multi_view import top_k, video_scores
from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, VideoClassifier, VideoEncoder
from jaxvision.ops.cross_entropy import (
    smooth_one_hot,
    smoothed_cross_entropy,
    soft_cross_entropy,
)
from jaxvision.ops.position_tables import resize_table
from jaxvision.training import schedules
from jaxvision.training.layer_decay import layer_decay_group, layer_scales, layers_of
from jaxvision.weights import to_variables
from jaxvision.weights.video_transformer_entries import classification_entries


def classifier(config: Config) -> VideoClassifier:
    side = config["img_size"]
    return VideoClassifier(
        CubeGrid(config["all_frames"], (side, side), config["tubelet_size"], config["patch_size"]),
        encoder_block(config, "embed_dim", "num_heads"),
        config["depth"],
        config["num_classes"],
        pooling="mean" if config.get("use_mean_pooling", True) else "first",
        position_table=config.get("use_learnable_pos_emb", False),
        position_window=POSITION_WINDOW,
    )


@functools.cache
def classifier_step(config: Config):
    """(model, entries, jitted (params, video, target) -> ((loss, (logits, pooled)), gradients))."""
    model = classifier(config)

    def loss(params, video, target):
        logits = model.apply({"params": params}, video)
        pooled = model.apply({"params": params}, video, features=True)
        return jnp.mean(soft_cross_entropy(logits, target)), (logits, pooled)

    return model, classification_entries(model), jax.jit(jax.value_and_grad(loss, has_aux=True))


@runner(
    "umt",
    "single_modality/models/modeling_finetune.py:VisionTransformer",
    fixed={"model": "umt_finetune_classifier"},
)
def finetuned(case: Case) -> dict:
    model, entries, step = classifier_step(case.config)
    variables, _ = to_variables(case.state_dict(), entries)
    video = channels_last(case.input("video"))
    target = np.full((len(video), model.classes), 1 / model.classes, np.float32)
    if case.has_input("target_logits"):
        target = jax.nn.softmax(2 * case.input("target_logits"))
    (loss, (logits, pooled)), grads = step(variables["params"], video, target)
    positions = VideoEncoder(
        model.grid, model.block, model.depth, position_window=model.position_window
    ).fixed_positions(model.grid.window)
    answers = {
        "logits": logits,
        "pooled": pooled,
        "loss_soft_target": loss,
        "pos_embed": positions[None],
    }
    return answers | gradient_outputs(case.outputs, {"params": grads}, entries)


@runner(
    "umt",
    "single_modality/models/modeling_finetune.py:get_sinusoid_encoding_table",
    ignores={"cases": "says in words what the outputs' names are"},
)
def position_tables(case: Case) -> dict:
    answers = {}
    for name in case.outputs:
        number = {letter: int(value) for letter, value in re.findall(r"([ndt])(\d+)", name)}
        if name.startswith("pretrain"):
            table = sincos_1d(number["n"], number["d"])
        else:
            side = round((number["n"] / number["t"]) ** 0.5)
            base = jnp.asarray(sincos_1d(int(np.prod(POSITION_WINDOW)), number["d"]))
            table = resize_table(base, POSITION_WINDOW, (number["t"], side, side))
        answers[name] = table[None]
    return answers


@runner(
    "umt",
    "single_modality/run_class_finetuning.py (criterion) with timm 0.4.12 losses; "
    "datasets/mixup.py:mixup_target",
)
def losses(case: Case) -> dict:
    logits, labels = case.input("logits"), case.input("labels")
    classes, ratio, smoothing = (case.config[key] for key in ("num_classes", "lam", "smoothing"))
    target = smooth_one_hot(labels, classes, smoothing)
    target = ratio * target + (1 - ratio) * target[::-1]
    return {
        "mixup_target": target,
        "soft_target_loss": jnp.mean(soft_cross_entropy(logits, target)),
        "label_smoothing_loss": jnp.mean(smoothed_cross_entropy(logits, labels, smoothing)),
    }


@runner("umt", "single_modality/engines/engine_for_finetuning.py:merge/compute_video")
def merged_views(case: Case) -> dict:
    config, labels = case.config, case.input("labels")
    logits = config["logit_scale"] * case.input("logits")
    assert logits.shape == (config["videos"], config["views"], config["classes"])
    scores = np.stack([video_scores(views, "prob") for views in logits])
    ranked = np.argsort(-scores, axis=-1, kind="stable")
    found = ranked == labels[:, None]
    return {
        "mean_prob": scores,
        "top1": found[:, 0].astype(float),
        "top5": np.any(found[:, :5], axis=-1).astype(float),
        "top1_percent": 100 * top_k(scores, labels, 1),
        "top5_percent": 100 * top_k(scores, labels, 5),
    }


@runner(
    "umt",
    "single_modality/datasets/kinetics_sparse.py:_get_seq_frames, "
    "datasets/ssv2.py:SSVideoClsDataset.loadvideo_decord, "
    "action_detection/alphaction/dataset/transforms/video_transforms.py:TemporalCrop, "
    "multi_modality/dataset/video_utils.py:get_frame_indices",
    ignores={"keys": "says in words what the outputs' names are"},
)
def frame_sampling(case: Case) -> dict:
    answers = {}
    for name in case.outputs:
        dataset, mode, total, wanted = re.fullmatch(
            r"([a-z0-9]+)_?(test|val|middle|)_v(\d+)_(\w+)", name
        ).groups()
        total = int(total)
        if dataset == "ava":
            sparse = wanted == "sparse1"
            rule = video_clips.centre_clip(total, 8, 8)
            answers[name] = rule if sparse else video_clips.spread_clip(total, 8)
            continue
        frames = int(wanted.removeprefix("f"))
        if dataset == "multimodal":
            answers[name] = video_clips.interval_clip(total, frames)
            continue
        kind, clips = {"kinetics": ("uniform", 4), "ssv2": ("spread", 2)}[dataset]
        sampling = video_clips.FrameSampling(kind, frames)
        tested = mode == "test"
        answers[name] = sampling.test(total, clips) if tested else sampling.validation(total)
    return answers


@runner(
    "umt",
    "single_modality/utils.py:cosine_scheduler; "
    "multi_modality/utils/scheduler.py:get_cosine_schedule_with_warmup; "
    "single_modality/run_class_finetuning.py (layer decay)",
)
def learning_rates(case: Case) -> dict:
    answers = {}
    for stage in ("pretrain", "finetune"):
        given = case.config[stage]
        per_epoch = given["steps_per_epoch"]
        steps = given["epochs"] * per_epoch
        table = {
            "name": "cosine",
            "peak": given["base"],
            "end": given["min"],
            "start": given["warmup_start"],
            "warmup_epochs": given["warmup_epochs"],
        }
        scale = given["total_batch"] * given["num_sample"] / 256
        schedule = schedules.make(table, steps, per_epoch, scale)
        answers[f"{stage}_lr"] = jax.jit(schedule)(np.arange(steps))
    given = case.config["multimodal"]
    for name, warmup in (("", "warmup_steps"), ("_nowarm", "nowarm_warmup_steps")):
        table = {
            "name": "cosine",
            "peak": 1.0,
            "inclusive_warmup": False,
            "warmup_steps": given[warmup],
            "floor": given["min_multi"],
        }
        steps = given["total_steps"]
        factor = jax.jit(schedules.make(table, steps, 1))(np.arange(steps + 1))
        answers[f"multimodal_factor{name}"] = factor
    for size, (factor, depth) in case.config["layer_decay"].items():
        answers[f"layer_decay_{size}"] = layer_scales(depth, factor)
    return answers


@runner(
    "umt",
    "single_modality/optim_factory.py:get_parameter_groups/get_num_layer_for_vit",
    fixed={"skip_list": ["cls_token", "pos_embed"]},
)
def parameter_groups(case: Case) -> dict:
    config = case.config
    width, _, frames, patch, _ = case.weight_shapes["patch_embed.proj.weight"]
    # A table among the parameters, as the case has it; nothing here depends on the heads.
    model = VideoClassifier(
        CubeGrid(frames, (patch, patch), frames, patch),
        BlockConfig(width, 1),
        config["depth"],
        case.weight_shapes["head.bias"][0],
        position_table=True,
    )
    known = {entry.name: entry for entry in classification_entries(model)}
    entries = [known[name] for name in config["parameter_names"]]
    paths = [entry.path.removeprefix("params/") for entry in entries]
    groups = [layer_decay_group(path, model.depth, config["layer_decay"]) for path in paths]
    layers = [row_of(e, layers_of(p, model.depth)) for e, p in zip(entries, paths, strict=True)]
    return {
        "layer_id": np.array(layers),
        "lr_scale": np.array([row_of(e, g.lr) for e, g in zip(entries, groups, strict=True)]),
        "weight_decay": np.array([g.decay for g in groups]) * config["weight_decay"],
    }
