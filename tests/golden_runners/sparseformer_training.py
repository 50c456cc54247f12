"""Golden runners of how SparseFormer is trained: tables, schedules, decay, losses, pictures."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from golden_case import Case, runner
from golden_runners.sparseformer import SHOWLAB, paper_architecture
from jaxvision.data.loader import epoch_position
from jaxvision.data.mixing import Mix, box_of, mix_batch
from jaxvision.data.normalisation import normalise, statistics
from jaxvision.data.source import Source
from jaxvision.methods.sparseformer import geometry, inputs
from jaxvision.methods.sparseformer.task import without_decay
from jaxvision.methods.sparseformer.weights import entries_of
from jaxvision.metrics.multi_view import top_k
from jaxvision.nn.transformer import drop_path_rates
from jaxvision.ops.cross_entropy import smoothed_cross_entropy, soft_cross_entropy
from jaxvision.training import schedules
from jaxvision.training.config import base_config
from jaxvision.training.state import TrainState
from jaxvision.training.step import average

PAPER = "imagenet/models/sparseformer.py:SparseFormer"


@runner("sparseformer", f"{PAPER}.init_layer; SFUnit.init_layer")
def initial_tables(case: Case) -> dict:
    config = case.config
    answers = {f"boxes_{n}": geometry.initial_boxes(n) for n in config["box_tokens"]}
    answers |= {f"offset_bias_{p}": geometry.initial_offsets(p) for p in config["offset_points"]}
    for name, (rate, blocks, repeats) in config["drop_path"].items():
        runs = sum(b * r for b, r in zip(blocks, repeats, strict=True))
        answers[f"drop_path_{name}"] = drop_path_rates(rate, runs)
    return answers


@runner("sparseformer", "imagenet/optimizer.py:set_weight_decay", fixed={"variant": "imagenet"})
def weight_decay(case: Case) -> dict:
    by_name = {e.name: e.path for e in entries_of(paper_architecture(case.config))}
    decayed = [0 if without_decay(by_name[name]) else 1 for name in case.weight_shapes]
    return {"decayed": np.array(decayed)}


@runner(
    "sparseformer",
    "imagenet/lr_scheduler.py:build_scheduler + main.py (linear scaling) with timm 0.3.2 "
    "CosineLRScheduler",
)
def learning_rates(case: Case) -> dict:
    config = case.config
    table = {
        "name": "unshifted_cosine",
        "peak": config["base_lr"],
        "start": config["warmup_lr"],
        "end": config["min_lr"],
        "warmup_epochs": config["warmup_epochs"],
    }
    per_epoch = config["iterations_per_epoch"]
    scale = config["batch_per_device"] * config["devices"] / 512
    with jax.enable_x64(True):
        schedule = schedules.make(table, config["epochs"] * per_epoch, per_epoch, scale)
        # What the scheduler is told after step i is the rate of step i + 1.
        rates = schedule(case.input("update_index") + 1)
        return {"lr": np.asarray(rates), "lr_before_first_update": np.asarray(schedule(0))}


@runner("sparseformer", "imagenet/main.py")
def losses_and_mixing(case: Case) -> dict:
    config, labels = case.config, jnp.asarray(case.input("labels"), jnp.int32)
    classes, smoothing = config["num_classes"], config["smoothing"]
    logits = case.input("logits")
    target = jax.nn.softmax(config["target_softmax_factor"] * case.input("target_logits"))
    answers = {}
    for name, loss in (
        ("soft_target", lambda x: jnp.mean(soft_cross_entropy(x, target))),
        ("label_smoothing", lambda x: jnp.mean(smoothed_cross_entropy(x, labels, smoothing))),
    ):
        answers[f"{name}_loss"], answers[f"{name}_grad"] = jax.value_and_grad(loss)(logits)
    pictures = np.moveaxis(case.input("image"), 1, -1)
    centre = jnp.array([[config["cutmix_center_y"], config["cutmix_center_x"]]])
    for name, ratio in (
        ("mixup", config["mixup_lambda"]),
        ("cutmix", config["cutmix_lambda_drawn"]),
    ):
        mix = Mix(jnp.array([ratio]), jnp.array([name == "cutmix"]), centre)
        mixed, mixed_target, share = mix_batch(
            pictures, labels, mix, classes=classes, smoothing=smoothing
        )
        answers[f"{name}_image"] = np.moveaxis(mixed, -1, 1)
        answers[f"{name}_target"] = mixed_target
        if name == "cutmix":
            (top, left), (bottom, right) = np.asarray(box_of(mix, pictures.shape[1:3]))[0]
            answers["cutmix_box"] = np.array([top, bottom, left, right])
            answers["cutmix_lambda"] = np.asarray(share)[0]
    for k in (1, 5):
        answers[f"top{k}_percent"] = 100 * top_k(logits, np.asarray(labels), k)
    return answers


@runner("sparseformer", f"ModelEmaV2 as used by {SHOWLAB}imagenet/main.py")
def weight_average(case: Case) -> dict:
    settings = base_config().ema
    settings.decay = case.config["decay"]
    first, *updates = case.config["salts"]
    assert len(updates) == case.config["updates"]
    ema = {"params": weights_of(case, first)}
    for step, salt in enumerate(updates):
        run_state = TrainState(jnp.int32(step), {}, {}, {}, None, ema)
        ema = average(run_state, weights_of(case, salt), {}, settings)
    return ema["params"]


def weights_of(case: Case, salt: str) -> dict:
    """The case's weights under another salt."""
    other = copy.copy(case)
    other._salt = salt
    return jax.tree.map(jnp.asarray, other.state_dict())


@runner(
    "sparseformer",
    f"imagenet/data/build.py:build_transform (eval) and {SHOWLAB}sparseformer/sparseformer/"
    "factory.py:create_preprocessing, carried out with Pillow",
)
def evaluation_pictures(case: Case) -> dict:
    picture = Image.fromarray(case.input("picture"))
    size, short = case.config["size"], case.config["resize_short_side"]
    pixels = {
        "imagenet": inputs.evaluation_picture(picture, size, short, "bicubic"),
        "package": inputs.evaluation_picture(picture, size, short, "bilinear"),
    }
    answers = {f"{name}_uint8": values for name, values in pixels.items()}
    families = {
        "imagenet": "imagenet",
        "package_v1": "imagenet",
        "package_augreg": "half",
        "package_clip": "clip",
    }
    for name, family in families.items():
        values = normalise(jnp.asarray(pixels[name.partition("_")[0]]), statistics(family))
        answers[name] = np.moveaxis(values, -1, 0)
    return answers


@runner("sparseformer", "imagenet/data/ra_sampler.py:RASampler", fixed={"shuffle": False})
def repeated_augmentation(case: Case) -> dict:
    """Without the shuffle, of which the positions are taken."""
    size = case.config["batch_size"]
    answers = {}
    for name, (count, processes, rank) in case.config["cases"].items():
        source = Source(
            [], size * processes, record_repeats=case.config["repeats"], interleave_groups=processes
        )
        taken = count // size * size // processes
        batches, rows = np.divmod(np.arange(taken), size)
        in_epoch = batches * size * processes + rank * size + rows
        answers[name] = np.array([epoch_position(int(row), source) for row in in_epoch])
    return answers
