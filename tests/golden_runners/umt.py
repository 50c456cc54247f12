"""Golden runners of UMT: teacher, student, one pretraining step, stage 2's vision tower."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.umt import adaptation, alignment
from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.methods.umt.objective import LOSSES, alignment_loss
from jaxvision.methods.umt.weights import clip_entries, student_entries
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.ops import token_masks
from jaxvision.weights import to_variables


def channels_last(video: np.ndarray) -> np.ndarray:
    return np.moveaxis(video, 1, -1)


def kept(mask: np.ndarray) -> np.ndarray:
    return np.stack([np.flatnonzero(~row) for row in mask])


def normalises(config: Mapping) -> bool:
    kind = config["clip_norm_type"]
    assert kind in ("l2", "none"), kind
    return kind == "l2"


def teacher_of(config: Mapping, frames: int) -> ClipVision:
    side = config["input_resolution"]
    return ClipVision(
        CubeGrid(frames, (side, side), config["kernel_size"], config["patch_size"]),
        BlockConfig(
            config["width"],
            config["heads"],
            fused_bias=True,
            activation="quick_gelu",
            norm_epsilon=1e-5,
        ),
        config["layers"],
        config["output_dim"],
        returned=config["clip_return_layer"],
        interval=config["clip_return_interval"],
        normalise=normalises(config),
    )


def encoder_block(config: Mapping, width: str, heads: str) -> BlockConfig:
    return BlockConfig(
        config[width],
        config[heads],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale=config.get("init_values", 0.0),
        norm_epsilon=config["norm_eps"],
    )


def student_of(config: Mapping, **more) -> AlignedEncoder:
    side = config["img_size"]
    assert config["clip_decoder_embed_dim"] == config["encoder_embed_dim"]
    return AlignedEncoder(
        CubeGrid(config["num_frames"], (side, side), config["tubelet_size"], config["patch_size"]),
        encoder_block(config, "encoder_embed_dim", "encoder_num_heads"),
        config["encoder_depth"],
        config["clip_output_dim"],
        returned=config["clip_return_layer"],
        interval=config["clip_student_return_interval"],
        position_table=config.get("use_learnable_pos_emb", False),
        **more,
    )


@runner(
    "umt",
    "single_modality/models/clip.py:VisionTransformer",
    fixed={"model": "clip_visual_teacher"},
    ignores={"return_attn": "both are answered"},
)
def teacher(case: Case) -> dict:
    video = channels_last(case.input("video"))
    model = teacher_of(case.config, video.shape[1])
    variables, _ = to_variables(case.state_dict(), clip_entries(model))
    features, attention = jax.jit(model.apply)(variables, video)
    return {"features": features, "attn": attention}


@runner(
    "umt",
    "single_modality/models/clip.py:load_state_dict",
    ignores={"interpolation": "says in words how the table is resized"},
)
def checkpoint_for_another_grid(case: Case) -> dict:
    old, new = (tuple(case.config[f"{side}_grid"]) for side in ("checkpoint", "model"))
    frames, kernel = case.config["kernel_size"], case.input("conv1_2d")
    return {
        "positional_embedding": adaptation.resize_class_table(
            case.input("positional_embedding"), old, new
        ),
        "conv1_center": adaptation.inflate(kernel, frames, "center"),
        "conv1_mean": adaptation.inflate(kernel, frames, "mean"),
    }


@runner(
    "umt",
    "single_modality/models/modeling_pretrain_umt.py:PretrainVisionTransformer",
    fixed={"model": "umt_pretrain_student"},
)
def student(case: Case) -> dict:
    model = student_of(case.config, normalise=normalises(case.config))
    variables, _ = to_variables(case.state_dict(), student_entries(model))
    video, visible = channels_last(case.input("video")), kept(case.input("mask"))

    @jax.jit
    def answer(variables, video, visible):
        layers = model.apply(variables, video, visible, method="layers")
        aligned = model.apply(variables, layers, video.shape[1:4], visible, method="align")
        return {"encoder_tokens": layers[-1], "encoder_layers": layers, "aligned": aligned}

    return answer(variables, video, visible)


@functools.cache
def pretraining_step(config: Config, frames: int):
    """(entries, jitted (variables, video, uniform draws) -> (answers, gradients))."""
    teacher = teacher_of(config["teacher"], frames)
    student = student_of(config["student"], normalise=normalises(config["student"]))
    entries = [
        *clip_entries(teacher, "teacher.", "params/teacher"),
        *student_entries(student, "student."),
    ]
    assert config["clip_input_resolution"] == config["teacher"]["input_resolution"]
    assert frames == config["student"]["num_frames"]
    count = token_masks.visible_per_frame(teacher.places, config["mask_ratio"])

    @jax.jit
    def step(variables, video, uniform):
        of_teacher = {"params": variables["params"]["teacher"]}
        noise = token_masks.gumbel(uniform)
        spared = alignment.guide(teacher, of_teacher, video, noise, count)
        whole = alignment.guide(teacher, of_teacher, video, noise, count, spare=False)
        resized = alignment.resize_for_teacher(video, teacher.grid.image_size)
        features, _ = teacher.apply(of_teacher, resized)
        scores = token_masks.guided_scores(whole.attention, noise)
        mask = jnp.ones((len(video), student.grid.tokens), bool)
        mask = mask.at[jnp.arange(len(video))[:, None], whole.visible].set(False)

        def losses(params):
            aligned = student.apply({"params": params}, video, spared.visible)["aligned"]
            by_kind = {k: jnp.mean(alignment_loss(aligned, spared.targets, k)) for k in LOSSES}
            return by_kind[config["loss"]], (by_kind, aligned)

        grads, (by_kind, aligned) = jax.grad(losses, has_aux=True)(variables["params"])
        answers = {
            "teacher_attn": whole.attention,
            "teacher_features": features,
            "order": jnp.argsort(-scores, axis=-1),
            "mask": mask,
            "targets": spared.targets,
            "prediction": aligned,
        }
        answers |= {f"loss_{kind}": value for kind, value in by_kind.items()}
        return answers, grads, (spared, whole)

    return entries, step


@runner(
    "umt",
    "single_modality/engines/engine_for_pretraining_umt.py:train_one_epoch (forward part) with "
    "models/clip.py and models/modeling_pretrain_umt.py",
    ignores={"teacher.return_attn": "both are answered"},
)
def pretrain(case: Case) -> dict:
    video = channels_last(case.input("video"))
    entries, step = pretraining_step(case.config, video.shape[1])
    variables, _ = to_variables(case.state_dict(), entries)
    answers, grads, (spared, whole) = step(variables, video, case.input("exponential_uniform"))
    for saved, full in zip(spared, whole, strict=True):
        np.testing.assert_allclose(saved, full, atol=1e-5)
    return answers | gradient_outputs(case.outputs, {"params": grads}, entries)


@runner(
    "umt",
    "multi_modality/models/backbones/vit/vit.py:PretrainVisionTransformer",
    fixed={"model": "umt_multimodal_vit"},
)
def vision_tower(case: Case) -> dict:
    config = case.config
    frames, places = config["ckpt_num_frame"], config["img_size"] // config["patch_size"]
    model = student_of(
        config,
        head_epsilon=config.get("alignment_head_norm_eps", 1e-5),
        normalise=False,
        pool_norm=config["add_pool_norm"],
        position_window=(frames, places, places) if frames > 0 else None,
        image_table=True,
    )
    variables, _ = to_variables(case.state_dict(), student_entries(model))
    answer = jax.jit(functools.partial(model.apply, variables), static_argnames="keep_frames")
    answers = {}
    for medium in ("video", "image"):
        if not case.has_input(medium):
            continue
        pixels = channels_last(case.input(medium))
        whole = answer(pixels, keep_frames=True)
        answers |= {
            f"{medium}_tokens": whole["tokens"],
            f"{medium}_pooled_per_frame": whole["pooled"],
            f"{medium}_pooled": whole["pooled"],
        }
        if case.has_input(f"{medium}_mask"):
            masked = answer(pixels, kept(case.input(f"{medium}_mask")))
            answers |= {f"{medium}_masked_{name}": value for name, value in masked.items()}
    if "tokens" in case.outputs:  # of a video alone
        window = model.grid.window_of(pixels.shape[1:4])
        positions = model.bind(variables).encoder.fixed_positions(window)
        answers |= {
            "tokens": answers["video_tokens"],
            "pooled_per_frame": answers["video_pooled"],
            "pos_embed": positions[None],
        }
    return answers


@runner(
    "umt",
    "multi_modality/models/criterions.py:UTA_Loss",
    ignores={"keys": "says in words what the outputs' names are"},
)
def alignment_losses(case: Case) -> dict:
    answers = {}
    for name in case.outputs:
        normalisation, _, kind = name.partition("_")
        assert normalisation in ("l2", "none")
        answers[name] = jnp.mean(
            alignment_loss(
                case.input("student"),
                case.input("teacher"),
                kind,
                normalise=normalisation == "l2",
            )
        )
    return answers
