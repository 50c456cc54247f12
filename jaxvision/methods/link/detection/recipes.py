"""The published detection recipes, as functions of what differs between them."""

from typing import NamedTuple

from ml_collections import ConfigDict

from jaxvision.methods.link.detection.backbone import MOMENTUM, Version
from jaxvision.methods.link.detection.pretrained import (
    EDGE,
    NUSCENES_TASKS,
    SETTINGS,
    level_shares,
)
from jaxvision.training.config import base_config


class DetectionRecipe(NamedTuple):
    """What a dataset decides. frames: samples of an epoch, after resampling.  per_gpu: of `gpus`.
    train_voxels: cap while training.  paste: objects of each class.  scale, shift: augmentation."""

    setting: str
    tasks: tuple[tuple[str, ...], ...]
    frames: int
    epochs: int
    gpus: int
    per_gpu: int
    peak: float
    train_voxels: int
    paste: dict[str, int]
    scale: tuple[float, float]
    shift: float
    box_weight: float
    code_weights: tuple[float, ...]
    sweeps: int


NUSCENES_PASTE = {
    "car": 2,
    "truck": 3,
    "construction_vehicle": 7,
    "bus": 4,
    "trailer": 6,
    "barrier": 2,
    "motorcycle": 6,
    "bicycle": 6,
    "pedestrian": 2,
    "traffic_cone": 2,
}
# Frames of the official training split after resampling, as CBGS counts them.
RESAMPLED = 123580
NUSCENES = DetectionRecipe(
    setting="nuscenes",
    tasks=NUSCENES_TASKS,
    frames=RESAMPLED,
    epochs=20,
    gpus=4,
    per_gpu=2,
    peak=1e-3,
    train_voxels=120_000,
    paste=NUSCENES_PASTE,
    scale=(0.9, 1.1),
    shift=0.5,
    box_weight=0.25,
    code_weights=(1.0,) * 6 + (0.2, 0.2, 1.0, 1.0),
    sweeps=10,
)
NUSCENES_01 = NUSCENES._replace(setting="nuscenes_01", per_gpu=4, train_voxels=90_000)


def detection(recipe: DetectionRecipe, version: Version = "elkv3") -> ConfigDict:
    """Adam with a one-cycle schedule, synchronised batch norm, losses averaged over processes."""
    setting = SETTINGS[recipe.setting]
    config = base_config()
    config.method = "link"
    config.model = ConfigDict(
        {
            "version": version,
            "form": "cos",
            "planes": (16, 32, 64, 128),
            "edge": EDGE,
            "level_share": level_shares(setting.voxels),
            "block_share": 0.25,
            "neck_layers": 5,
            "neck_widths": (128, 256),
            "joined_width": 256,
            "head_width": 64,
            "velocity": setting.velocity,
            "momentum": MOMENTUM,  # of running statistics
        }
    )
    config.task = ConfigDict(
        {
            "name": "detection",
            "box_weight": recipe.box_weight,
            "code_weights": recipe.code_weights,
            "threshold": 0.1,
            "candidates": setting.candidates,
            "kept": setting.kept,
            "overlap": setting.overlap,
            "squared_radii": (),
            "limits": setting.limits,
            "double_flip": False,
            "angles": (0.0,),  # degrees of test-time turns
            "max_range_m": 50.0,
            "evaluation_batch": recipe.gpus,
            "evaluation_voxels": setting.voxels,
        }
    )
    config.data.update(
        {
            "name": "nuscenes",
            "root": "",
            "index": "",
            "version": "v1.0-trainval",
            "train": (),
            "test": (),
            "sweeps": recipe.sweeps,
            "columns": 5,
            "intensity": 255.0,
            "drop_invalid": False,
            "tasks": recipe.tasks,
            "range": setting.grid.extent,
            "voxel_size": setting.grid.size,
            "points_per_voxel": setting.points,
            "voxels": recipe.train_voxels,
            "slots": 500,
            "resample": True,
            "paste": recipe.paste,
            "paste_share": 0.75,  # of a run; its last quarter pastes nothing
            "augment": True,
            "turn": 45.0,
            "scale": recipe.scale,
            "shift": recipe.shift,
            "sensor": {},
            "street_heading": 180.0,  # of made-up streets: in any direction
        }
    )
    batch = recipe.gpus * recipe.per_gpu
    config.train.batch_size = batch
    config.train.loss_groups = recipe.gpus  # processes that average their losses
    config.train.steps = recipe.epochs * -(-recipe.frames // batch)
    config.optim.update({"name": "adamw", "b2": 0.99, "eps": 1e-8, "clip_norm": 35.0})
    low = recipe.peak / 10
    config.optim.learning_rate = ConfigDict(
        {"name": "one_cycle", "start": low, "peak": recipe.peak, "end": low / 1e4, "rising": 0.4}
    )
    config.optim.b1_schedule = ConfigDict(
        {"name": "one_cycle", "start": 0.95, "peak": 0.85, "end": 0.95, "rising": 0.4}
    )
    config.optim.weight_decay.value = 0.01
    config.checkpoint.update({"best": "scans/nds", "every_steps": 2000})
    config.evaluate.every_steps = config.train.steps // recipe.epochs
    return config
