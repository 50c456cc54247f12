"""Golden runners of the backbones that action detectors share."""

import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.data.actions.clip_frames import evenly
from jaxvision.nn.resnet3d import NonLocal, ResNet3D, Stage
from jaxvision.nn.resnet3d_config import (
    BlockShape,
    FusionConfig,
    NonLocalConfig,
    NormConfig,
    PathwayConfig,
    ResNet3DConfig,
)
from jaxvision.nn.swin3d import Swin3D, Swin3DConfig
from jaxvision.weights import Entry, to_state_dict, to_variables
from jaxvision.weights import resnet3d_entries as names
from jaxvision.weights.caffe2_names import pytorch_name
from jaxvision.weights.swin3d_entries import swin3d_entries

MODELS = "alphaction/modeling/backbone/video_model_builder.py:"
WEIGHTINGS = {"softmax": "softmax", "dot_product": "mean"}
# What AlphAction's non-local blocks can be told, and what it means for an initial value alone.
NON_LOCAL = {
    "NO_BIAS": False,
    "USE_MAXPOOL": True,
    "USE_SOFTMAX": True,
    "USE_SCALE": True,
    "USE_BN": True,
}
INITIAL = {
    key: "an initial value"
    for key in ("CONV_INIT_STD", "USE_ZERO_INIT_CONV", "BN_INIT_GAMMA", "BN_MOMENTUM")
}
INITIAL_WITHIN = {f"nonlocal_.{key}": why for key, why in INITIAL.items()}


def channels_last(x):
    return jnp.moveaxis(x, 1, -1)


def channels_first(x):
    return jnp.moveaxis(x, -1, 1)


@runner("stmixer", "alphaction/utils/c2_model_loading.py")
def caffe2_names(case: Case) -> dict:
    given = case.input("c2_names").tobytes().decode().split("\n")
    found = [f"backbone.{pytorch_name(name)}" for name in given]
    return {"pytorch_names": np.frombuffer("\n".join(found).encode(), np.uint8)}


def pyslowfast_network(config: Config) -> ResNet3DConfig:
    """The network of a case of STMixer's backbones."""

    def of_pathway(key: str, pathway: int) -> tuple:
        return tuple(stage[pathway] for stage in config[key])

    def pathway(number: int, width: int, stem_window: int, windows: tuple) -> PathwayConfig:
        pools = of_pathway("nonlocal_pool", number)
        weighting = WEIGHTINGS[config["nonlocal_instantiation"]]
        return PathwayConfig(
            width=width,
            stem_window=stem_window,
            windows=windows,
            long_blocks=of_pathway("num_block_temp_kernel", number),
            strides=of_pathway("spatial_strides", number),
            dilations=of_pathway("spatial_dilations", number),
            non_local=tuple(
                (stage, block, NonLocalConfig(weighting=weighting, pool=tuple(pools[stage - 2])))
                for stage, blocks in enumerate(of_pathway("nonlocal_location", number), start=2)
                for block in blocks
            ),
        )

    width, fast, fusion = config["width_per_group"], None, None
    if config["pathways"] == 2:
        fast = pathway(1, width // config["beta_inv"], 5, (3, 3, 3, 3))
        fusion = FusionConfig(
            window=config["fusion_kernel"],
            stride=config["alpha"],
            ratio=config["fusion_conv_channel_ratio"],
            norm=True,
        )
    return ResNet3DConfig(
        depth=config["depth"],
        slow=pathway(0, width, 1, (1, 1, 3, 3)),
        fast=fast,
        fusion=fusion,
        stem_pool_padding=1,
        norm=NormConfig(epsilon=config["bn_eps"]),
    )


@runner(
    "stmixer",
    f"{MODELS}ResNet",
    f"{MODELS}SlowFast",
    fixed={
        "num_groups": 1,
        "stride_1x1": False,
        "slow_indices": "linspace(0, T-1, T//alpha) truncated",
    },
)
def pyslowfast(case: Case) -> dict:
    network = pyslowfast_network(case.config)
    entries = names.pyslowfast_entries(network, "", "params")
    state_dict = case.state_dict()
    assert [entry.name for entry in entries] == list(state_dict)
    variables, unused = to_variables(state_dict, entries)
    clip = np.moveaxis(case.input("clip"), 1, -1)
    assert clip.shape[1] == case.config["num_frames"]
    alpha = 1 if network.fusion is None else network.fusion.stride
    slow, fast = clip, None
    if network.fusion is not None:
        slow, fast = clip[:, evenly(clip.shape[1], alpha)], clip
    train = any(name.startswith("train_feature") for name in case.outputs)

    @jax.jit
    def run(variables, slow, fast):
        maps, state = ResNet3D(network).apply(variables, slow, fast, train, mutable=["batch_stats"])
        return [channels_first(level) for level in maps.levels(alpha)], state

    levels, state = run(variables, slow, fast)
    kind = "train_feature" if train else "feature"
    answers = {f"{kind}_{i}": level for i, level in enumerate(levels)}
    after = to_state_dict({**variables, **state}, entries, unused)
    return answers | {f"updated/{name}": value for name, value in after.items()}


def alphaction_non_local(config: Config, grouped: bool) -> NonLocalConfig:
    for key, value in NON_LOCAL.items():
        assert config[key] == value, f"{key} of a non-local block is {config[key]}"
    group = config.get("group_size", 4) if grouped else None
    return NonLocalConfig(weighting="softmax", pool=(1, 2, 2), group=group)


def module_outputs(case: Case, module: nn.Module, entries: Sequence[Entry]) -> dict:
    """`out` of module(x), and gradients where the case has a cotangent."""
    variables, _ = to_variables(case.state_dict(), entries)
    x = np.moveaxis(case.input("x"), 1, -1)
    cotangent = np.moveaxis(case.input("cot"), 1, -1) if case.has_input("cot") else None

    @jax.jit
    def run(variables, x, cotangent):
        value, pull = jax.vjp(lambda v, x: module.apply(v, x, False), variables, x)
        return value, None if cotangent is None else pull(cotangent)

    value, gradients = run(variables, x, cotangent)
    answers = {"out": channels_first(value)}
    if gradients is None:
        return answers
    by_weights, by_x = gradients
    answers["grad_x"] = channels_first(by_x)
    return answers | gradient_outputs(case.outputs, by_weights, entries)


@runner("cycleacr", "alphaction/modeling/nonlocal_block.py:NLBlock", ignores=INITIAL)
def alphaction_non_local_block(case: Case) -> dict:
    config, (group, size) = case.config, (case.config["group"], case.config["group_size"])
    assert config["module"] == "NLBlock"
    kind = alphaction_non_local(config, group)
    assert kind.group in (None, size)
    norm = NormConfig(frozen=config["FROZEN_BN"], epsilon=config["BN_EPSILON"])
    module = NonLocal(config["dim_inner"], kind, norm)
    entries = list(
        names.non_local_entries(
            names.ALPHACTION_NON_LOCAL, "", "params", config["dim_in"], not norm.frozen
        )
    )
    return module_outputs(case, module, entries)


@runner(
    "stmixer",
    "alphaction/modeling/backbone/sfmodels/nonlocal_helper.py:Nonlocal",
    fixed={"norm": "BatchNorm3d eval eps 1e-5"},
)
def pyslowfast_non_local_block(case: Case) -> dict:
    config = case.config
    weighting = WEIGHTINGS[config["instantiation"]]
    kind = NonLocalConfig(weighting=weighting, pool=tuple(config["pool_size"]))
    entries = list(
        names.non_local_entries(names.PYSLOWFAST_NON_LOCAL, "", "params", config["dim"], True)
    )
    return module_outputs(case, NonLocal(config["dim_inner"], kind, NormConfig()), entries)


@runner(
    "cycleacr",
    "alphaction/modeling/common_blocks.py:ResNLBlock",
    fixed={"module": "ResNLBlock"},
    ignores=INITIAL_WITHIN | {"beta": "the fusion's, in `dim_in` of a stage without it"},
)
def alphaction_stage(case: Case) -> dict:
    config = case.config
    assert set(config["temp_strides"]) == {1}
    inputs = config["dim_in"]
    if config["lateral"]:
        inputs += int(2 * config["beta"] * inputs)
    outputs, stride, dilation = config["dim_out"], config["stride"], config["dilation"]
    norm = NormConfig(frozen=config["frozen_bn"], epsilon=config["bn_eps"])
    kind = alphaction_non_local(config["nonlocal_"], config["group_nonlocal"])
    assert config["nonlocal_"]["FROZEN_BN"] == norm.frozen
    assert config["nonlocal_"]["BN_EPSILON"] == norm.epsilon
    changes = inputs != outputs or stride > 1 or dilation > 1
    blocks = tuple(
        BlockShape(
            inputs=inputs if i == 0 else outputs,
            inner=config["dim_inner"],
            outputs=outputs,
            window=1 + 2 * config["use_temp_convs"][i],
            stride=stride if i == 0 else 1,
            dilation=dilation,
            shortcut=i == 0 and changes,
            non_local=kind if (i + 1) % config["nonlocal_mod"] == 0 else None,
        )
        for i in range(config["num_blocks"])
    )
    entries = list(names.alphaction_stage_entries(blocks, "", "params", not norm.frozen))
    return module_outputs(case, Stage(blocks, norm), entries)


def alphaction_network(config: Config, tensors: Sequence[str]) -> ResNet3DConfig:
    """The network of a case of CycleACR's backbones; its tensors say where non-local blocks are."""

    def pathway(name: str, width: int, stem_window: int, windows: tuple) -> PathwayConfig:
        options = config[name]
        assert options["ACTIVE"]
        switched = {3: options["CONV3_NONLOCAL"], 4: options["CONV4_NONLOCAL"]}
        grouped = options["CONV3_GROUP_NL"]
        found = {
            (int(match[1]) + 1, int(match[2]))
            for tensor in tensors
            if (match := re.search(rf"\b{name}\.res_nl(\d)\.nonlocal_(\d+)\.", tensor))
        }
        assert {stage for stage, _ in found} == {stage for stage, on in switched.items() if on}
        return PathwayConfig(
            width=width,
            stem_window=stem_window,
            windows=windows,
            long_blocks=None,
            strides=(1, 2, 2, 1),
            dilations=(1, 1, 1, 2),
            non_local=tuple(
                (stage, block, alphaction_non_local(config["nonlocal_"], grouped and stage == 3))
                for stage, block in sorted(found)
            ),
        )

    assert config["lateral"] == "tconv"
    return ResNet3DConfig(
        depth=int(config["conv_body"].removeprefix("Slowfast-Resnet")),
        slow=pathway("slow", 64, 1, (1, 1, 3, 3)),
        fast=pathway("fast", int(64 * config["beta"]), 5, (3, 3, 3, 3)),
        fusion=FusionConfig(window=5, stride=config["alpha"], ratio=2, norm=False),
        stem_pool_padding=0,
        norm=NormConfig(frozen=config["frozen_bn"], epsilon=config["bn_eps"]),
    )


@runner(
    "cycleacr",
    "alphaction/modeling/backbone/slowfast.py:SlowFast",
    fixed={"module": "SlowFast"},
    ignores={
        **INITIAL_WITHIN,
        "nonlocal_": "there may be no such block",
        **{f"nonlocal_.{key}": "there may be no such block" for key in NON_LOCAL},
        "nonlocal_.FROZEN_BN": "there may be no such block",
        "nonlocal_.BN_EPSILON": "as the network's",
        "tau": "the inputs are what it chose",
    },
)
def alphaction(case: Case) -> dict:
    state_dict = case.state_dict()
    network = alphaction_network(case.config, list(state_dict))
    entries = names.alphaction_entries(network, "", "params", not network.norm.frozen)
    assert [entry.name for entry in entries] == list(state_dict)
    variables, _ = to_variables(state_dict, entries)

    @jax.jit
    def run(variables, slow, fast):
        return ResNet3D(network).apply(variables, channels_last(slow), channels_last(fast))

    maps = run(variables, case.input("slow"), case.input("fast"))
    answers = {}
    for name, found in zip(("slow", "fast"), maps, strict=True):
        answers[f"{name}.maxpool1"] = found[0]
        answers |= {f"{name}.res_nl{i}": found[i] for i in range(1, 5)}
        answers[f"{name}_out"] = found[4]
    return {name: channels_first(value) for name, value in answers.items()}


def swin_of(swin: Config) -> Swin3DConfig:
    """The network of a case's `swin` table, without stochastic depth."""
    assert swin["IN_CHANS"] == 3
    assert swin["QK_SCALE"] is None
    assert swin["DROP_RATE"] == swin["ATTN_DROP_RATE"] == 0
    return Swin3DConfig(
        patch=tuple(swin["PATCH_SIZE"]),
        width=swin["EMBED_SIZE"],
        depths=tuple(swin["DEPTHS"]),
        heads=tuple(swin["NUM_HEADS"]),
        window=tuple(swin["WINDOW_SIZE"]),
        mlp_ratio=swin["MLP_RATIO"],
        qkv_bias=swin["QKV_BIAS"],
        patch_norm=swin["PATCH_NORM"],
    )


@runner(
    "cycleacr",
    "alphaction/modeling/backbone/swin_transformer.py:SwinTransformer3D",
    fixed={"module": "SwinTransformer3D"},
    ignores={
        "swin.DROP_PATH_RATE": "the cases run without stochastic depth",
        "swin.USE_CHECKPOINT": "says how, not what",
    },
)
def video_swin(case: Case) -> dict:
    network = swin_of(case.config["swin"])
    entries = list(swin3d_entries(network, "", "params"))
    state_dict = case.state_dict()
    assert [entry.name for entry in entries if not entry.optional] == list(state_dict)
    variables, _ = to_variables(state_dict, entries)
    video, cotangent = (np.moveaxis(case.input(name), 1, -1) for name in ("video", "cot"))

    @jax.jit
    def run(variables, video, cotangent):
        def out(variables, video):
            return Swin3D(network).apply(variables, video)

        value, pull, maps = jax.vjp(out, variables, video, has_aux=True)
        return value, maps, pull(cotangent)

    value, maps, (by_weights, by_video) = run(variables, video, cotangent)
    names = ["patch_embed", *(f"layers.{i}" for i in range(len(network.depths)))]
    answers = dict(zip(names, maps, strict=True)) | {"out": value, "grad_video": by_video}
    return {name: channels_first(each) for name, each in answers.items()} | gradient_outputs(
        case.outputs, by_weights, entries
    )
