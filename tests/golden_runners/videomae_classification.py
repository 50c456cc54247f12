"""Golden runners of VideoMAE's classifier: the network, its losses, its fine-tuning steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.videomae import PUBLISHED
from jaxvision.data.mixing import Mix, mix_batch
from jaxvision.data.normalisation import IMAGENET
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, VideoClassifier, VideoEncoder
from jaxvision.ops.cross_entropy import smoothed_cross_entropy, soft_cross_entropy
from jaxvision.weights import to_variables
from jaxvision.weights.video_transformer_entries import classification_entries

FINETUNE = "models/modeling_finetune.py:VisionTransformer"
MIX_RATIO, SMOOTHING = 0.3, 0.1


def classifier(config: dict) -> VideoClassifier:
    size = config["img_size"]
    grid = CubeGrid(
        config["num_frames"],
        tuple(size) if isinstance(size, list) else (size, size),
        config["tubelet_size"],
        config["patch_size"],
    )
    assert config["in_chans"] == 3
    block = BlockConfig(
        config["embed_dim"],
        config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale=config["init_values"],
        cosine_attention=config["cos_attn"],
        norm_epsilon=config["norm_eps"],
    )
    return VideoClassifier(
        grid,
        block,
        config["depth"],
        config["num_classes"],
        pooling="mean" if config["use_mean_pooling"] else "first",
        position_table=config["use_learnable_pos_emb"],
    )


def normalised(video01: np.ndarray) -> np.ndarray:
    """[B, 3, T, H, W] in [0, 1] -> [B, T, H, W, 3] as the network takes it."""
    return (np.moveaxis(video01, 1, -1) - IMAGENET.mean) / IMAGENET.deviation


@functools.cache
def classifier_forward(config: Config):
    """(model, jitted (variables, video) -> what the cases ask of a forward pass)."""
    model = classifier(config)
    first_block = VideoEncoder(model.grid, model.block, 1, position_table=model.position_table)

    @jax.jit
    def forward(variables, video):
        logits, captured = model.apply(
            variables, video, capture_intermediates=lambda m, _: m.name == "patch_embedding"
        )
        (tokens,) = captured["intermediates"]["encoder"]["patch_embedding"]["__call__"]
        encoder = variables["params"]["encoder"]
        first = {**encoder, "stack": jax.tree.map(lambda leaf: leaf[:1], encoder["stack"])}
        return {
            "patch_tokens": tokens,
            "block0_tokens": first_block.apply({"params": first}, video),
            "features": model.apply(variables, video, features=True),
            "logits": logits,
        }

    return model, forward


@functools.cache
def classifier_gradients(config: Config):
    """Jitted (params, video, soft target) -> (loss, gradients)."""
    model, _ = classifier_forward(config)

    def loss(params, video, target):
        return jnp.mean(soft_cross_entropy(model.apply({"params": params}, video), target))

    return jax.jit(jax.value_and_grad(loss))


def soft_target(labels: np.ndarray, classes: int, ratio: float, smoothing: float) -> jax.Array:
    """The target that mixing two clips by `ratio` leaves."""
    mix = Mix(jnp.array([ratio]), jnp.array([False]), jnp.zeros((1, 2), jnp.int32))
    nothing = jnp.zeros((len(labels), 1, 1, 1))
    return mix_batch(nothing, jnp.asarray(labels), mix, classes=classes, smoothing=smoothing)[1]


@runner("videomae", FINETUNE, fixed={"kind": "finetune"}, ignores={"published": PUBLISHED})
def classification(case: Case) -> dict:
    model, forward = classifier_forward(case.config)
    entries = classification_entries(model)
    variables, _ = to_variables(case.state_dict(), entries)
    video = normalised(case.input("video01"))
    answers = dict(forward(variables, video))
    answers["num_params"] = sum(leaf.size for leaf in jax.tree.leaves(variables))
    if not case.has_input("target"):
        return answers
    labels = case.input("target")
    target = soft_target(labels, model.classes, MIX_RATIO, SMOOTHING)
    loss, gradients = classifier_gradients(case.config)(variables["params"], video, target)
    return answers | {
        "soft_target": target,
        "loss_soft": loss,
        "loss_label_smoothing": jnp.mean(
            smoothed_cross_entropy(answers["logits"], labels, SMOOTHING)
        ),
        "loss_ce": jnp.mean(smoothed_cross_entropy(answers["logits"], labels, 0.0)),
        **gradient_outputs(case.outputs, {"params": gradients}, entries),
    }
