"""What CamLiFlow's recipes share (section 5, and conf/ of the authors' repository).

Four processes of equal shares: losses are means inside each, batch statistics those of all.
"""

from typing import Any

from ml_collections import ConfigDict

from jaxvision.data.scene_flow.augmentation import KITTI_JITTER, THINGS_JITTER
from jaxvision.data.scene_flow.kitti import PADDED
from jaxvision.methods.camliflow.objective import GAMMA, LEVEL_WEIGHTS
from jaxvision.methods.camliflow.variants import (
    BLOCKS,
    LEVELS,
    PUBLISHED_FUSIONS,
    PYRAMID,
    RADIUS,
    WIDTH,
)
from jaxvision.training.config import base_config

PROCESSES = 4
FLOOR = 1e-5  # of every learning rate, whatever its peak
THINGS_SIZE = (540, 960)


def task_table() -> dict[str, Any]:
    """A recipe's `task` table, as published but for `predict`."""
    return {
        "name": "flow",
        "order": "l2-norm",
        "gamma": GAMMA,
        "level_weights": LEVEL_WEIGHTS,
        "jitter": tuple(THINGS_JITTER),
        "flips": 2,
        "crop": (),
        "zoom": 1.0,
        "evaluation_batch": 4,
        "benchmarks": {},
        "predict": {"points": 8192, "farthest": 90.0, "baseline": 0.54},
    }


def model_table(network: str, training_iterations: int, iterations: int) -> dict[str, Any]:
    """A recipe's `model` table."""
    return {
        "network": network,
        "lite": False,
        "pyramid": PYRAMID,
        "width": WIDTH,
        "blocks": BLOCKS,
        "levels": LEVELS,
        "radius": RADIUS,
        "lookup": "on_demand",
        "gain": 1.0,
        "encoder_norms": False,
        "centred": False,
        "fusions": PUBLISHED_FUSIONS,
        "iterations": iterations,
        "training_iterations": training_iterations,
        "frozen_norms": False,
    }


def benchmarks(network: str, **folders: str) -> dict[str, str]:
    """The protocols that suit a network, each with its folder or ""."""
    names: tuple[str, ...] = ("things", "kitti")
    if network.endswith("_l"):
        names += ("things_noc", "things_occ", "kitti_noc", "kitti_occ")
    else:
        names += ("sintel_clean", "sintel_final")
    if network in ("camliraft", "camlipwc"):
        names += ("kitti_scene_flow",)
    return {name: folders.get(name, "") for name in names}


def cosine(peak: float, warmup: float, start: float = FLOOR, end: float = FLOOR) -> dict[str, Any]:
    """timm's: a rate an epoch, and a cosine that began unseen behind the warm-up. warmup: epochs;
    start: of it."""
    return {
        "name": "cosine",
        "clock": "epoch",
        "shifted": False,
        "shortened": False,
        "inclusive_warmup": False,
        "peak": peak,
        "end": end,
        "start": start,
        "warmup_epochs": warmup,
    }


def things(network: str, *, epochs: int, batch: int, peak: float, clip: float) -> ConfigDict:
    """A network on FlyingThings3D as `jaxvision prepare flyingthings3d` leaves it."""
    config = base_config()
    config.method = "camliflow"
    # RAFT of pixels alone has 12 iterations in training and 24 after it.
    iterations = (12, 24) if network == "raft" else (10, 20)
    config.model = ConfigDict(model_table(network, *iterations))
    config.task = ConfigDict(task_table())
    config.task.benchmarks = ConfigDict(benchmarks(network, things="flyingthings3d"))
    if network.endswith("_l"):
        config.task.jitter = (0.0, 0.0, 0.0, 0.0)  # no pictures
    config.data.update(
        {
            "name": "flyingthings3d",
            "root": "flyingthings3d",
            "size": THINGS_SIZE,
            "points": 8192,
            "split": "training160",
            "passes": "clean",
            "pairs": 0,
            "planes": 4,
            "speed": 1.0,
        }
    )
    config.train.epochs = float(epochs)
    config.train.batch_size = batch
    config.train.loss_groups = PROCESSES
    config.optim.learning_rate = ConfigDict(cosine(peak, 2))
    config.optim.weight_decay.value = 1e-6
    config.optim.clip_norm = clip
    config.evaluate.every_epochs = 5.0
    config.checkpoint.best = "things/epe3d" if network.endswith("_l") else "things/epe2d"
    config.checkpoint.best_mode = "min"
    return config


def fused(config: ConfigDict, point_peak: float, warmup: float = 2) -> ConfigDict:
    """With the learning rate of the branch of points."""
    config.optim.schedules = ConfigDict({"points": cosine(point_peak, warmup)})
    return config


def imagenet(config: ConfigDict, start: str) -> ConfigDict:
    """With both image encoders from torchvision's ResNet-50. start: its file, or ""."""
    if start:
        parts = ("core/image_features", "core/image_context")
        config.init = tuple({"from": start, "to": part} for part in parts)
    return config


def kitti(start: str = "") -> ConfigDict:
    """CamLiRAFT on KITTI's training160, 800 epochs from FlyingThings3D; norms keep their
    statistics. start: the checkpoint."""
    config = things("camliraft", epochs=800, batch=8, peak=1e-4, clip=1.0)
    config.model.frozen_norms = True
    config.task.jitter = tuple(KITTI_JITTER)
    config.task.flips = 1
    config.task.zoom = 1.5
    config.task.benchmarks = ConfigDict(benchmarks("camliraft", kitti="kitti_scene_flow"))
    config.data.update({"name": "kitti", "root": "kitti_scene_flow", "size": PADDED})
    config.optim.learning_rate = ConfigDict(cosine(1e-4, 0))
    config.checkpoint.best = ""
    if start:
        config.init = ({"from": start},)
    return fused(config, 1e-3, 0)
