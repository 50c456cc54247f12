"""Golden runners of EMA-VFI: the parts of the network, each with its own weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.emavfi import model, weights
from jaxvision.methods.emavfi.attention import (
    BlockConfig,
    DepthwiseMlp,
    InterFrameAttention,
    MotionBlock,
    WindowGrid,
    coordinate_grid,
)
from jaxvision.methods.emavfi.extractor import (
    ConvPReLU,
    ConvStack,
    CrossScaleEmbedding,
    MotionExtractor,
    OverlapEmbedding,
)
from jaxvision.methods.emavfi.model import FlowHead, Motion, pixel_shuffle_twice
from jaxvision.methods.emavfi.variants import NetworkConfig
from jaxvision.ops.image_sampling import resize_bilinear, warp
from jaxvision.weights import to_variables


def last(x: np.ndarray) -> np.ndarray:
    """Channels first -> channels last."""
    return np.moveaxis(np.asarray(x), 1, -1)


def first(x) -> np.ndarray:
    """Channels last -> channels first."""
    return np.moveaxis(np.asarray(x), -1, 1)


def pairs(x: np.ndarray) -> np.ndarray:
    """All first frames, then all second frames -> pairs."""
    x = np.asarray(x)
    return np.swapaxes(x.reshape(2, -1, *x.shape[1:]), 0, 1)


def frames(x) -> np.ndarray:
    """Pairs -> all first frames, then all second frames."""
    x = np.swapaxes(np.asarray(x), 0, 1)
    return x.reshape(-1, *x.shape[2:])


# Of every published network.
FIXED = {
    "qkv_bias": True,
    "block_norm_eps": 1e-6,
    "patch_embed_norm_eps": 1e-5,
    "scales": [4, 8, 16],
}


def network_config(config: dict) -> NetworkConfig:
    network = NetworkConfig(
        width=config["F"],
        window=config["window"],
        depths=tuple(config["depths"]),
        mlp_ratio=config["mlp_ratio"],
    )
    assert list(network.widths) == config["embed_dims"]
    assert [network.block(3).heads, network.block(4).heads] == config["num_heads"]
    assert [network.block(s).motion_width for s in (3, 4)] == config["motion_dims"][3:]
    assert config["head_hidden"] == 2 * [network.head_hidden]
    assert config["unet_c"] == network.unet_width
    return network


def part(case: Case, entries) -> dict:
    """Variables of a case about a part, whose entries have paths below `params/part`."""
    variables, _ = to_variables(case.state_dict(), entries, case.path.name)
    return {"params": variables["params"]["part"]}


@runner(
    "emavfi",
    "model/feature_extractor.py:pad_if_needed and MotionFormerBlock.attn_mask",
    fixed={"masked_value": -100.0},
)
def attention_masks(case: Case) -> dict:
    answers = {}
    for name, size in case.config["masks"].items():
        shift = case.config["shift"] if name.startswith("shift") else 0
        grid = WindowGrid(*size, case.config["window"], shift)
        answers[name] = np.asarray(grid.mask())
        if name.startswith("pad"):
            answers[name.replace("pad_mask", "padded_hw")] = np.array(grid.padded)
    return answers


@runner("emavfi", "model/feature_extractor.py:MotionFormer.get_cor", fixed={"range": [-1, 1]})
def coordinates(case: Case) -> dict:
    answers = {}
    for name in case.outputs:
        height, width = map(int, name.removeprefix("cor_").split("x"))
        answers[name] = coordinate_grid(height, width)[None]
    return answers


@runner(
    "emavfi",
    "model/feature_extractor.py:ConvBlock and MotionFormer.patch_embed2",
    fixed={"activation": "PReLU per channel"},
)
def conv_stages(case: Case) -> dict:
    (one, two), depth = case.config["widths"], case.config["convs_per_stage"]
    entries = [
        *weights.stage_entries("block1", "params/part/a", depth, one, 3),
        *weights.conv_prelu_entries("patch_embed2.0", "patch_embed2.1", "params/part/b", two, one),
        *weights.stage_entries("block2", "params/part/c", depth, two, two),
    ]
    params = part(case, entries)["params"]

    @jax.jit
    def run(params, x):
        x1 = ConvStack(one, depth).apply({"params": params["a"]}, x)
        reduced = ConvPReLU(two, 2).apply({"params": params["b"]}, x1)
        return x1, ConvStack(two, depth).apply({"params": params["c"]}, reduced)

    x1, x2 = run(params, last(case.input("x")))
    return {"x1": first(x1), "x2": first(x2)}


@runner("emavfi", "model/feature_extractor.py:CrossScalePatchEmbed", fixed={"norm_eps": 1e-5})
def cross_scale(case: Case) -> dict:
    inputs, width = tuple(case.config["in_dims"]), case.config["embed_dim"]
    variables = part(case, weights.cross_scale_entries(inputs, width, "", "params/part"))
    stages = tuple(last(case.input(f"x{i}")) for i in range(3))
    x = jax.jit(CrossScaleEmbedding(inputs[0], width).apply)(variables, stages)
    return tokens(x)


@runner(
    "emavfi",
    "model/feature_extractor.py:OverlapPatchEmbed",
    fixed={"kernel": 3, "stride": 2, "padding": 1, "norm_eps": 1e-5},
)
def overlap(case: Case) -> dict:
    width = case.config["embed_dim"]
    entries = weights.overlap_entries(case.config["in_chans"], width, "", "params/part")
    x = jax.jit(OverlapEmbedding(width).apply)(part(case, entries), last(case.input("x")))
    return tokens(x)


def tokens(x) -> dict:
    return {"tokens": np.asarray(x).reshape(x.shape[0], -1, x.shape[-1]), "hw": x.shape[1:3]}


@runner(
    "emavfi",
    "model/feature_extractor.py:InterFrameAttention",
    fixed={"qkv_bias": True, "scale": "head_dim**-0.5"},
)
def attention_core(case: Case) -> dict:
    config = case.config
    block = BlockConfig(
        width=config["dim"], motion_width=config["motion_dim"], heads=config["num_heads"]
    )
    variables = part(case, weights.attention_entries(block, "", "params/part"))
    mask = case.input("mask")
    own, other, cor = (
        case.input(name).reshape(-1, len(mask), *case.input(name).shape[1:])
        for name in ("x1", "x2", "cor")
    )
    answers = jax.jit(InterFrameAttention(block).apply)(variables, own, other, cor, mask)
    return {
        name: np.asarray(x).reshape(-1, *x.shape[2:])
        for name, x in zip(("appearance", "motion"), answers, strict=True)
    }


@runner(
    "emavfi",
    "model/feature_extractor.py:Mlp",
    fixed={"activation": "exact (erf) GELU"},
)
def mlp(case: Case) -> dict:
    config = case.config
    block = BlockConfig(
        width=config["dim"], motion_width=0, heads=1, mlp_ratio=config["hidden"] / config["dim"]
    )
    variables = part(case, weights.mlp_entries(block, "", "params/part"))
    x = case.input("x")
    out = jax.jit(DepthwiseMlp(block).apply)(
        variables, x.reshape(len(x), config["H"], config["W"], -1)
    )
    return {"out": np.asarray(out).reshape(x.shape)}


@runner(
    "emavfi",
    "model/feature_extractor.py:MotionFormerBlock",
    fixed={"qkv_bias": True},
    ignores={"batch": "the shapes of the inputs say it"},
)
def block(case: Case) -> dict:
    config = case.config
    settings = BlockConfig(
        width=config["dim"],
        motion_width=config["motion_dim"],
        heads=config["num_heads"],
        window=config["window"],
        mlp_ratio=config["mlp_ratio"],
        norm_epsilon=config["norm_eps"],
    )
    entries = list(weights.block_entries(settings, "", "params/part"))
    variables = part(case, entries)
    size = (config["H"], config["W"])
    module = MotionBlock(settings, config["shift"])

    def as_map(name: str) -> np.ndarray:
        x = case.input(name)
        return pairs(x.reshape(len(x), *size, -1))

    def as_tokens(x) -> np.ndarray:
        x = frames(x)
        return x.reshape(len(x), -1, x.shape[-1])

    cor = case.input("cor")[0]
    if not case.has_input("ct_x"):
        out, motion = jax.jit(module.apply)(variables, as_map("x"), cor)
        return {"x_out": as_tokens(out), "motion": as_tokens(motion)}

    @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def loss(variables, x):
        out, motion = module.apply(variables, x, cor)
        return jnp.sum(out * as_map("ct_x")) + jnp.sum(motion * as_map("ct_motion")), (out, motion)

    (_, (out, motion)), (grads, grad_x) = jax.jit(loss)(variables, as_map("x"))
    answers = {"x_out": as_tokens(out), "motion": as_tokens(motion), "grad_x": as_tokens(grad_x)}
    return answers | gradient_outputs(case.outputs, {"params": {"part": grads["params"]}}, entries)


@runner(
    "emavfi",
    "model/feature_extractor.py:MotionFormer",
    fixed=FIXED,
    ignores={"variant": "the cases of the whole network check it"},
)
def extractor(case: Case) -> dict:
    network = network_config(case.config)
    variables = part(case, weights.extractor_entries(network, "", "params/part"))
    pair = np.stack([last(case.input("img0")), last(case.input("img1"))], axis=1)
    return feature_outputs(jax.jit(MotionExtractor(network).apply)(variables, pair))


def feature_outputs(features) -> dict:
    answers = {f"appearance_{i}": first(frames(x)) for i, x in enumerate(features.appearance)}
    return answers | {f"motion_{3 + i}": first(frames(x)) for i, x in enumerate(features.motion)}


@runner(
    "emavfi",
    "model/warplayer.py:warp",
    fixed={"align_corners": True, "padding": "border", "mode": "bilinear"},
)
def warps(case: Case) -> dict:
    image, flow = last(case.input("image")), last(case.input("flow"))
    if not case.has_input("ct"):
        return {"out": first(jax.jit(warp)(image, flow))}
    out, back = jax.vjp(jax.jit(warp), image, flow)
    grad_image, grad_flow = jax.jit(back)(jnp.asarray(last(case.input("ct"))))
    return {"out": first(out), "grad_image": first(grad_image), "grad_flow": first(grad_flow)}


@runner(
    "emavfi",
    "model/flow_estimation.py:resize and PixelShuffle",
    fixed={"mode": "bilinear", "align_corners": False, "antialias": False},
)
def resizes(case: Case) -> dict:
    x = last(case.input("x"))
    resize = jax.jit(resize_bilinear, static_argnums=1)
    answers = {name: first(resize(x, f)) for name, f in case.config["factors"].items()}
    return answers | {"pixel_shuffle_2_2": first(pixel_shuffle_twice(last(case.input("p"))))}


@runner("emavfi", "model/flow_estimation.py:Head")
def flow_head(case: Case) -> dict:
    config = case.config
    hidden, inputs = config["hidden"], 2 * config["in_planes"] // 16 + config["extra_channels"]
    variables = part(case, weights.flow_head_entries(inputs, hidden, "", "params/part"))
    known = [last(case.input(name)) for name in ("feat", "x", "flow") if case.has_input(name)]
    motion = jax.jit(FlowHead(config["scale"], hidden).apply)(variables, *known)
    return {"flow": first(motion.flow), "mask": first(motion.mask)}


@runner(
    "emavfi",
    "model/refine.py:Unet; model/flow_estimation.py:MultiScaleFlow.warp_features, "
    "coraseWarp_and_Refine",
)
def refine(case: Case) -> dict:
    width, channels = case.config["c"], case.config["feature_channels"]
    variables = part(case, weights.unet_entries(channels[0], width, "", "params/part"))
    pair = np.stack([last(case.input("img0")), last(case.input("img1"))], axis=1)
    motion = Motion(last(case.input("flow")), last(case.input("mask")))
    appearance = tuple(pairs(last(case.input(f"feat_{i}"))) for i in range(5))

    @jax.jit
    def run(variables, pair, motion, appearance):
        context = model.warp_features(appearance, motion.flow)
        warped = model.warp_pair(pair, motion.flow)
        unet = model.RefinementUNet(width)
        residual = unet.apply(variables, pair, warped, motion, context)
        return context, residual, model.blend(warped, motion.mask) + residual

    context, residual, answer = run(variables, pair, motion, appearance)
    answers = {
        f"warped{frame}_{level}": first(x[:, frame])
        for level, x in enumerate(context)
        for frame in (0, 1)
    }
    return answers | {
        "unet": first((residual + 1) / 2),
        "pred": first(jnp.clip(answer, 0, 1)),
    }
