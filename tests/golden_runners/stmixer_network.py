"""Golden runners of STMixer's feature spaces and whole detectors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.actions_backbones import pyslowfast_network
from golden_runners.gradients import gradient_outputs
from golden_runners.stmixer_decoder import (
    LOSS_KEYS,
    check_form,
    decoder_of,
    detections_of,
    loss_outputs,
    truth_of,
    weights_of,
)
from jaxvision.methods.stmixer import objective
from jaxvision.methods.stmixer.detections import Choice
from jaxvision.methods.stmixer.feature_space import LateralMaps, SimplePyramid
from jaxvision.methods.stmixer.model import ConvolutionalMaps, Detector
from jaxvision.methods.stmixer.weights import (
    detector_entries,
    lateral_entries,
    pyramid_entries,
)
from jaxvision.nn.resnet3d_config import NormConfig, ResNet3DConfig
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, TransformerMap
from jaxvision.weights import to_variables
from jaxvision.weights.video_transformer_entries import map_entries

BUILDER = "alphaction/modeling/backbone/video_model_builder.py:"


def waves(shape: tuple[int, ...]) -> np.ndarray:
    """sin(arange), in row-major order of [b, c, t, h, w], as [b, t, h, w, c]."""
    b, t, h, w, c = shape
    flat = np.sin(np.arange(np.prod(shape))).astype(np.float32)
    return np.moveaxis(flat.reshape(b, c, t, h, w), 1, -1)


@runner(
    "stmixer",
    "alphaction/modeling/detector/stm_detector.py:STMDetector._construct_space,space_forward",
    fixed={"layer_norm_eps": 1e-6, "scales": [4, 2, 1, 0.5]},
)
def feature_space(case: Case) -> dict:
    config, width = case.config, case.config["hidden_dim"]
    if "embed_dim" in config:
        module = SimplePyramid(width)
        entries = [*pyramid_entries(config["embed_dim"], width)]
        maps = np.moveaxis(case.input("backbone_feature"), 1, -1)
    else:
        module, entries = LateralMaps(width), [*lateral_entries(config["in_channels"], width)]
        names = sorted(case.input_names())
        maps = tuple(np.moveaxis(case.input(name), 1, -1) for name in names)
    variables, _ = to_variables(case.state_dict(), entries)

    def run(params):
        levels = module.apply({"params": params["params"]["space"]}, maps)
        return sum(jnp.sum(level * waves(level.shape)) for level in levels), levels

    gradients, levels = jax.jit(jax.grad(run, has_aux=True))(variables)
    outputs = {f"feature_{i}": np.moveaxis(level, -1, 1) for i, level in enumerate(levels)}
    return outputs | gradient_outputs(case.outputs, gradients, entries)


def transformer_of(config) -> TransformerMap:
    """A plain transformer of a case's settings, without stochastic depth."""
    assert not config["use_learnable_pos_emb"], "positions are sines and cosines"
    side, tubelet = config["pretrain_img_size"], config["tubelet_size"]
    grid = CubeGrid(8 * tubelet, (side, side), tubelet, config["patch_size"])
    block = BlockConfig(
        config["embed_dim"],
        config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale=config["init_values"],
        norm_epsilon=config["layer_norm_eps"],
    )
    return TransformerMap(grid, block, config["depth"], flat_positions=True)


@runner(
    "stmixer",
    f"{BUILDER}ViT",
    ignores={"drop_path_rate": "the cases run without stochastic depth"},
)
def transformer_map(case: Case) -> dict:
    module = transformer_of(case.config)
    entries = map_entries(module, "", "params")
    variables, _ = to_variables(case.state_dict(), entries)
    clip = np.moveaxis(case.input("clip"), 1, -1)

    def run(variables):
        found = module.apply(variables, clip)
        return jnp.sum(found * waves(found.shape)), found

    gradients, found = jax.jit(jax.grad(run, has_aux=True))(variables)
    outputs = {"feature": np.moveaxis(found, -1, 1)}
    return outputs | gradient_outputs(case.outputs, gradients, entries)


def network_of(config: Config, norm: NormConfig) -> ResNet3DConfig:
    """A PySlowFast network of a case's settings."""
    for key, value in (("num_groups", 1), ("stride_1x1", False)):
        assert config[key] == value, f"{key} is {config[key]}"
    if config["pathways"] == 2:
        assert config["slow_indices"] == "linspace(0, T-1, T//alpha) truncated"
    return dataclasses.replace(pyslowfast_network(config), norm=norm)


def detector_of(config: Config) -> Detector:
    """A whole detector, without stochastic depth."""
    check_form(config["head"])
    decoder, backbone = decoder_of(config["head"]), config["backbone"]
    if "embed_dim" in backbone:
        return Detector(transformer_of(backbone), decoder, True)
    norm = NormConfig(frozen=config.get("frozen_bn", True), epsilon=backbone["bn_eps"])
    return Detector(ConvolutionalMaps(network_of(backbone, norm)), decoder, False)


DETECTOR = "alphaction/modeling/detector/stm_detector.py:STMDetector"
SAID_ELSEWHERE = {
    "published_config": "its settings stand beside it",
    "backbone_name": "its settings stand beside it",
    "sampling_rate": "the clip has its frames",
}


def prepared(case: Case):
    """(detector, entries, variables, clip) of a case."""
    config = case.config
    module = detector_of(config)
    entries = detector_entries(module)
    variables, _ = to_variables(case.state_dict(), entries)
    clip = np.moveaxis(case.input("clip"), 1, -1)
    assert clip.shape[:2] == (config["batch"], config["num_frames"])
    assert clip.shape[2:4] == tuple(config["padded_hw"])
    return module, entries, variables, clip


@runner(
    "stmixer",
    f"{DETECTOR} (eval)",
    ignores={
        **SAID_ELSEWHERE,
        **{f"head.{key}": "no loss is asked" for key in LOSS_KEYS},
        "backbone.drop_path_rate": "nothing is dropped",
    },
)
def detector(case: Case) -> dict:
    module, _, variables, clip = prepared(case)
    sizes = case.input("whwh")
    for number, (width, height) in enumerate(sizes[:, :2].astype(int)):
        clip[number, :, height:], clip[number, :, :, width:] = 0, 0
    found = jax.device_get(jax.jit(module.apply)(variables, clip, sizes))
    answers = found.answers
    choice = Choice(threshold=case.config["head"]["person_threshold"])
    return {
        **{f"feature_{i}": np.moveaxis(level, -1, 1) for i, level in enumerate(found.levels)},
        "pred_logits": answers.person,
        "pred_boxes": answers.boxes,
        "pred_actions_first": answers.action[0],
        "pred_actions_last": answers.action[-1],
        **detections_of(answers, sizes, choice),
    }


@runner(
    "stmixer",
    f"{DETECTOR} (train)",
    ignores={
        **SAID_ELSEWHERE,
        "head.person_threshold": "nothing is detected",
        "backbone.drop_path_rate": "the cases run without stochastic depth",
    },
)
def detector_training(case: Case) -> dict:
    module, entries, variables, clip = prepared(case)
    weights, truth = weights_of(case.config["head"]), truth_of(case)
    statistics = {"batch_stats": variables.get("batch_stats", {})}

    def loss(params):
        found, _ = module.apply(
            {**statistics, "params": params}, clip, truth.sizes, True, mutable=["batch_stats"]
        )
        people = jnp.maximum(jnp.sum(truth.exists), 1)
        return objective.detection_loss(found.answers, truth, weights, people)

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (total, parts), gradients = run(variables["params"])
    return {
        **loss_outputs(parts, total),
        **gradient_outputs(case.outputs, {"params": gradients}, entries),
    }
