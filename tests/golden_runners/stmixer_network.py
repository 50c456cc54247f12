"""Golden runners of STMixer's feature spaces and whole detectors."""

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.stmixer.feature_space import LateralMaps, SimplePyramid
from jaxvision.methods.stmixer.model import TransformerMap
from jaxvision.methods.stmixer.weights import (
    lateral_entries,
    pyramid_entries,
    transformer_map_entries,
)
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.weights import to_variables

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


def transformer_of(config) -> tuple[TransformerMap, CubeGrid, BlockConfig, int]:
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
    return TransformerMap(grid, block, config["depth"]), grid, block, config["depth"]


@runner(
    "stmixer",
    f"{BUILDER}ViT",
    ignores={"drop_path_rate": "the cases run without stochastic depth"},
)
def transformer_map(case: Case) -> dict:
    module, *rest = transformer_of(case.config)
    entries = [*transformer_map_entries(*rest, "", "params")]
    variables, _ = to_variables(case.state_dict(), entries)
    clip = np.moveaxis(case.input("clip"), 1, -1)

    def run(variables):
        found = module.apply(variables, clip)
        return jnp.sum(found * waves(found.shape)), found

    gradients, found = jax.jit(jax.grad(run, has_aux=True))(variables)
    outputs = {"feature": np.moveaxis(found, -1, 1)}
    return outputs | gradient_outputs(case.outputs, gradients, entries)


PUBLISHED_STRIDES = [[1], [2], [2], [2]]


def norm_of(config) -> NormConfig:
    return NormConfig(frozen=config.get("frozen_bn", False), epsilon=config["backbone"]["bn_eps"])


def network_of(config, norm: NormConfig) -> ResNet3DConfig:
    """A PySlowFast network of a case's settings."""
    pathways = config["pathways"]
    assert config["num_groups"] == 1, "no grouped convolutions"
    assert not config["stride_1x1"], "strides are those of the 3x3 convolutions"
    columns = {
        name: [list(stage) for stage in zip(*config[name], strict=True)]
        for name in ("num_block_temp_kernel", "spatial_strides", "spatial_dilations")
    }
    weighting = {"dot_product": "mean", "softmax": "softmax"}[config["nonlocal_instantiation"]]
    widths, windows = [config["width_per_group"]], [(1, (1, 1, 3, 3))]
    fusion = None
    if pathways == 2:
        assert config["slow_indices"] == "linspace(0, T-1, T//alpha) truncated"
        widths.append(widths[0] // config["beta_inv"])
        windows.append((5, (3, 3, 3, 3)))
        fusion = FusionConfig(
            window=config["fusion_kernel"],
            stride=config["alpha"],
            ratio=config["fusion_conv_channel_ratio"],
            norm=True,
        )
    found = []
    for pathway in range(pathways):
        behind = tuple(
            (stage + 2, block, NonLocalConfig(weighting, tuple(pool[pathway])))
            for stage, (blocks, pool) in enumerate(
                zip(config["nonlocal_location"], config["nonlocal_pool"], strict=True)
            )
            for block in blocks[pathway]
        )
        found.append(
            PathwayConfig(
                width=widths[pathway],
                stem_window=windows[pathway][0],
                windows=windows[pathway][1],
                long_blocks=tuple(columns["num_block_temp_kernel"][pathway]),
                strides=tuple(columns["spatial_strides"][pathway]),
                dilations=tuple(columns["spatial_dilations"][pathway]),
                non_local=behind,
            )
        )
    return ResNet3DConfig(
        depth=config["depth"],
        slow=found[0],
        fast=found[1] if pathways == 2 else None,
        fusion=fusion,
        stem_pool_padding=1,
        norm=norm,
    )
