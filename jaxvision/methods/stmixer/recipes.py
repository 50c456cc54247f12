"""What STMixer's recipes share (section 4.1, and config_files/ of the paper's repository)."""

from typing import Any

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.variants import VARIANTS, model_table
from jaxvision.training.config import base_config

AVA_KEY_FRAMES = 184_384  # an epoch: 11,524 steps of 16


def task_table() -> dict[str, Any]:
    """A recipe's `task` table, as published but for what ours adds (overlap, boxes, predict)."""
    return {
        "name": "detection",
        "stride": 2,
        "short_sides": (256, 320),
        "test_short_side": 256,
        "flip": True,
        "most_buckets": 8,
        "evaluation_batch": 8,
        "person_weight": 2.0,
        "action_weight": 24.0,
        "l1_weight": 2.0,
        "giou_weight": 2.0,
        "background_weight": 0.1,
        "threshold": 0.6,
        "fallback": 3,
        "overlap": 1.0,
        "boxes": "predicted",
        "still": False,
        "shown": 0.5,
        "every_seconds": 1.0,
    }


def detection(variant: str, *, weights: str = "") -> ConfigDict:
    """A published network on AVA 2.2: 12 epochs, its learning rate a tenth after 5 and 8.

    weights: of the backbone's pretraining. On 8 processes each had 2 clips (a transformer's 1): 8
    loss groups, and batch statistics synchronised over all.
    """
    chosen = VARIANTS[variant]
    transformer = chosen.model["backbone"] == "vit"
    batch = 8 if transformer else 16
    config = base_config()
    config.method = "stmixer"
    config.dtype = "bfloat16"
    config.model = ConfigDict(model_table() | dict(chosen.model))
    config.task = ConfigDict(task_table())
    config.task.stride = chosen.stride
    config.data.update(
        {
            "name": "ava",  # or tubes, own, figures: see docs/own_actions.md
            "root": "frames",
            "train": "annotations/ava_train_v2.2.csv",
            "validation": "annotations/ava_val_v2.2.csv",
            "train_frames": "frame_lists/train.csv",
            "validation_frames": "frame_lists/val.csv",
            "labels": "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
            "classes": 80,
            "excluded": "annotations/ava_val_excluded_timestamps_v2.2.csv",
            "rate": 30,
            "people": 32,
        }
    )
    config.train.batch_size = batch
    config.train.loss_groups = 8
    # Each clip is in a bucket of either side, so steps say how long a run is.
    steps = AVA_KEY_FRAMES // batch
    config.train.steps = 12 * steps
    peak = 1e-5 if transformer else 2e-5
    config.optim.learning_rate = ConfigDict(
        {
            "name": "milestones",
            "peak": peak,
            "start": 0.1 * peak,
            "warmup_steps": 2 * steps,
            "at_steps": (5 * steps, 8 * steps),
        }
    )
    config.optim.weight_decay.value = 1e-4
    config.evaluate.every_steps = steps
    config.checkpoint.every_steps = steps
    if weights:
        # A classifier's head and the norm behind its pooling have no place here.
        config.init = ({"from": weights, "to": "backbone", "drop": (r"^(head|norm)/",)},)
    return config


def fine_tuning(variant: str = "slowfast_r50_k400", *, start: str = "") -> ConfigDict:
    """A published network on other annotations than AVA's, from an AVA checkpoint: ours.

    start: the checkpoint; its last action layers, whose classes are others, start anew.
    """
    config = detection(variant)
    config.data = ConfigDict({**base_config().data.to_dict(), "people": 32})
    config.task.short_sides = (256,)
    config.train.update({"loss_groups": 1, "steps": 0, "epochs": 4.0})
    # Per clip as on AVA.
    config.optim.batch_scaling = 16
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 2e-5, "end": 0.0, "warmup_epochs": 0.2}
    )
    config.evaluate.every_steps = 0
    config.checkpoint.every_steps = 1000
    if start:
        config.init = ({"from": start, "drop": (r"/action/out/",)},)
    return config


def tubes(template: str, classes: int, *, start: str = "") -> ConfigDict:
    """UCF101-24 or JHMDB: every frame of the tubes is a key frame."""
    config = fine_tuning(start=start)
    config.data.update(
        {
            "name": "tubes",
            "root": "frames",
            "train": "",
            "validation": "",
            "tubes": "GT.pkl",
            "split": 1,
            "classes": classes,
            "template": template,
        }
    )
    config.train.batch_size = 16
    return config
