"""Golden runners of VideoMAE."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.data.normalisation import IMAGENET
from jaxvision.methods.videomae import masking, objective
from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.methods.videomae.weights import pretraining_entries
from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, take_tokens
from jaxvision.ops import token_masks
from jaxvision.weights import to_variables

PRETRAIN = "models/modeling_pretrain.py:PretrainVisionTransformer"
PUBLISHED = "its factory; the case of all ten factories holds their names and shapes"


def pretraining_model(config: dict) -> MaskedAutoencoder:
    size = config["img_size"]
    grid = CubeGrid(
        config["num_frames"],
        tuple(size) if isinstance(size, list) else (size, size),
        config["tubelet_size"],
        config["patch_size"],
    )
    assert (config["in_chans"], config["decoder_num_classes"]) == (3, grid.cube_values)
    shared = dict(
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale=config["init_values"],
        cosine_attention=config["cos_attn"],
        norm_epsilon=config["norm_eps"],
    )
    return MaskedAutoencoder(
        grid,
        BlockConfig(config["encoder_embed_dim"], config["encoder_num_heads"], **shared),
        config["encoder_depth"],
        BlockConfig(config["decoder_embed_dim"], config["decoder_num_heads"], **shared),
        config["decoder_depth"],
    )


@functools.cache
def pretraining_step(config: Config):
    """A jitted (variables, video01, visible, decoded) -> everything the cases ask of one config."""
    model = pretraining_model(config)

    @functools.partial(jax.jit, static_argnames="gradients")
    def step(variables, video, visible, decoded, mask, gradients):
        grid = model.grid
        normalised = (video - IMAGENET.mean) / IMAGENET.deviation
        target = take_tokens(
            objective.pixel_targets(
                video, grid.tubelet, grid.patch, config.get("norm_target", True)
            ),
            decoded,
        )
        hidden = jnp.take_along_axis(mask, decoded, axis=1)

        def loss(params):
            prediction = model.apply({"params": params}, normalised, visible, decoded)
            total, weight = objective.reconstruction_loss(prediction, target, hidden)
            return total / weight, prediction

        answers = {"target": target, "loss_mask": hidden}
        if gradients:
            (answers["loss"], answers["pred"]), grads = jax.value_and_grad(loss, has_aux=True)(
                variables["params"]
            )
        else:
            (answers["loss"], answers["pred"]), grads = loss(variables["params"]), None
        answers["encoder_tokens"] = model.apply(variables, normalised, visible, method="encode")
        return answers, grads

    return model, step


def kept(mask: np.ndarray) -> np.ndarray:
    return np.stack([np.flatnonzero(row == 0) for row in mask])


def channels_last(video: np.ndarray) -> np.ndarray:
    return np.moveaxis(video, 1, -1)


@runner(
    "videomae",
    PRETRAIN,
    PRETRAIN + " + engine_for_pretraining.py:train_one_epoch",
    fixed={"kind": "pretrain"},
    ignores={"published": PUBLISHED},
)
def pretrain(case: Case) -> dict:
    model, step = pretraining_step(case.config)
    entries = pretraining_entries(model)
    variables, _ = to_variables(case.state_dict(), entries)
    mask = case.input("mask")
    decode_mask = case.input("decode_mask") if case.has_input("decode_mask") else 1 - mask
    wants_gradients = any(name.startswith("grad") for name in case.outputs)
    answers, grads = step(
        variables,
        channels_last(case.input("video01")),
        kept(mask),
        kept(decode_mask),
        mask,
        gradients=wants_gradients,
    )
    answers["num_params"] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    if wants_gradients:
        answers |= gradient_outputs(case.outputs, {"params": grads}, entries)
    return answers


@runner("videomae", "engine_for_pretraining.py:train_one_epoch")
def targets(case: Case) -> dict:
    answers = {}
    for name, settings in case.config.items():
        if name == "tubelet":
            continue
        video = jnp.asarray(channels_last(case.input(f"video01_{name}")))
        for kind in ("normalised", "raw"):
            answers[f"{kind}_{name}"] = objective.pixel_targets(
                video, case.config["tubelet"], settings["patch"], kind == "normalised"
            )
    return answers


@runner("videomae", "models/modeling_finetune.py:get_sinusoid_encoding_table")
def sincos(case: Case) -> dict:
    return {k: sincos_1d(v["num_positions"], v["dim"]) for k, v in case.config.items()}


@runner("videomae", "dataset/masking_generator.py:RunningCellMaskingGenerator")
def running_cell(case: Case) -> dict:
    answers = {}
    for name, settings in case.config.items():
        t, h, w = settings["input_size"]
        maps = masking.running_cell_maps((t, h, w), settings["mask_ratio"])
        answers[name] = maps.reshape(4, t, h * w)
    for name in case.outputs:
        if name.startswith("chosen_map_for_numpy_seed"):
            # The draw is the reference's own; ours takes it as an argument.
            answers[name] = np.array([np.random.RandomState(s).randint(4) for s in range(8)])
    return answers


@runner("videomae", "dataset/masking_generator.py:TubeMaskingGenerator,RandomMaskingGenerator")
def tube_and_random(case: Case) -> dict:
    answers = {}
    for name, settings in case.config.items():
        t, h, w = window = tuple(settings["input_size"])
        tube = settings["kind"] == "tube"
        places = h * w if tube else t * h * w
        permutation = np.arange(places)
        np.random.RandomState(7).shuffle(permutation)
        draw = jnp.asarray(permutation)[None]
        make = token_masks.tube_mask if tube else token_masks.random_mask
        mask = np.asarray(make(draw, window, settings["mask_ratio"]))[0]
        kept_tokens = token_masks.visible_count(window, settings["mask_ratio"], settings["kind"])
        assert kept_tokens == int((mask == 0).sum())
        answers[name] = mask.reshape(t, -1)[0] if tube else mask
        counts = [places, int(mask.sum())]
        if tube:
            counts = [h * w, int(mask.reshape(t, -1)[0].sum()), t * h * w, int(mask.sum())]
        answers[f"{name}_counts"] = np.array(counts)
    return answers
