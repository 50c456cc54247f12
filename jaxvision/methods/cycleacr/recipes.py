"""What CycleACR's recipes share (section 4.1, and the configurations of the paper's repository)."""

from typing import Any

from ml_collections import ConfigDict

from jaxvision.data.actions.key_frames import UCF_TEMPLATE
from jaxvision.methods.cycleacr.variants import VARIANTS, model_table
from jaxvision.training.config import base_config

AVA_CLIPS = 184_384  # annotated seconds with people, of the training films
NEW_CLASSES = (r"^params/head/actions/",)  # what of an AVA checkpoint has no place elsewhere


def task_table() -> dict[str, Any]:
    """A recipe's `task` table: the convolutional code's."""
    return {
        "name": "actions",
        "loss": "focal",
        "groups": (14, 49, 17),
        "pose_weight": 1.2,
        "object_weight": 49.0,
        "person_weight": 17.0,
        "fading": True,
        "forget_loss": False,
        "remember": True,
        "stride": 2,
        "short_side": 256,
        "long_side": 464,
        "crop": 0,
        "cropped": "keep",
        "flip": True,
        "jitter": True,
        "colours": True,
        "extend": (-0.05, -0.1),
        "box_threshold": 0.8,
        "most_buckets": 8,
        "evaluation_batch": 8,
        "random_slots": False,
        "bias_rate": 2.0,
        "module_rate": 10.0,
        "layer_decay": 0.8,
        "other_rate": 1.0,
        "shown": 0.5,
        "every_seconds": 1.0,
    }


def data_table() -> dict[str, Any]:
    """A recipe's `data` table: AVA 2.2."""
    return {
        "name": "ava",
        "root": "clips/trainval",
        "train": "annotations/ava_train_v2.2_min.json",
        "validation": "annotations/ava_val_v2.2_min.json",
        "boxes": "boxes/ava_val_det_person_bbox.json",
        "truth": "annotations/ava_val_v2.2.csv",
        "labels": "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        "classes": 80,
        "excluded": "annotations/ava_val_excluded_timestamps_v2.2.csv",
        "people": 10,
        "test_people": 24,
        "seconds": 8,
        "side": 32,
    }


def _ava(variant: str, weights: str) -> ConfigDict:
    chosen = VARIANTS[variant]
    config = base_config()
    config.method = "cycleacr"
    config.model = ConfigDict(model_table() | dict(chosen.model))
    config.task = ConfigDict(task_table())
    config.task.stride = chosen.stride
    config.data.update(data_table())
    if weights:
        config.init = ({"from": weights, "to": "backbone"},)
        if weights.endswith(".pkl"):
            # PySlowFast's lateral convolutions have batch norms behind them, these have biases.
            config.init[0]["drop"] = (r"^network/fusion_\d/",)
    return config


def convolutional(variant: str, *, peak: float, weights: str = "") -> ConfigDict:
    """SlowFast and Swin: 50,000 steps of 32 clips, SGD, its learning rate a tenth after 30,000 and
    40,000.  peak: of the learning rate.  weights: of the backbone's pretraining."""
    config = _ava(variant, weights)
    config.train.update({"batch_size": 32, "steps": 50_000})
    config.optim.name = "sgd"
    config.optim.weight_decay.value = 1e-7
    config.optim.learning_rate = ConfigDict(
        {
            "name": "milestones",
            "peak": peak,
            "start": 0.25 * peak,
            "warmup_steps": 2000,
            "at_steps": (30_000, 40_000),
        }
    )
    config.evaluate.every_steps = 5000
    config.checkpoint.every_steps = 5000
    return config


def transformer(variant: str, *, weights: str = "") -> ConfigDict:
    """ViT of VideoMAE: 20 epochs of 128 clips on 32 processes, AdamW, layer decay 0.8.

    weights: a VideoMAE classifier, whose head and norm (`fc_norm`) have no place here: the norm
        behind the backbone starts at 1 and 0, as published.
    """
    config = _ava(variant, "")
    config.dtype = "bfloat16"
    config.task.update({"loss": "entropy", "crop": 224, "long_side": 0})
    config.data.people = 100
    steps = AVA_CLIPS // 128
    config.train.update({"batch_size": 128, "steps": 20 * steps, "loss_groups": 32})
    config.optim.weight_decay.value = 0.05
    config.optim.learning_rate = ConfigDict(
        {
            "name": "cosine",
            "peak": 1.25e-4,
            "end": 5e-7,
            "warmup_steps": 5 * steps,
        }
    )
    config.evaluate.every_steps = 10 * steps
    config.checkpoint.every_steps = steps
    if weights:
        drop = (r"^(head|norm)/",)
        config.init = ({"from": weights, "to": "backbone/network", "drop": drop},)
    return config


def tubes(*, start: str = "") -> ConfigDict:
    """UCF101-24: every frame with people is a key frame, and every fourth around it is remembered.

    start: an AVA checkpoint, whose classes start anew.  All settings are ours.
    """
    config = convolutional("slowfast_r101_k700", peak=8e-4)
    # A person does one of the 24 actions; two people of a frame are many.
    config.model.update({"step": 4, "slots": 3, "memory_slots": 3})
    config.task.update({"groups": (24, 0, 0), "pose_weight": 1.0, "every_seconds": 0.16})
    config.data = ConfigDict({**base_config().data.to_dict(), "people": 10, "test_people": 10})
    config.data.update(
        {
            "name": "tubes",
            "root": "frames",
            "tubes": "GT.pkl",
            "template": UCF_TEMPLATE,
            "split": 1,
            "boxes": "",
            "classes": 24,
            "train": "",
            "validation": "",
        }
    )
    if start:
        config.init = ({"from": start, "drop": NEW_CLASSES},)
    return config


def own(*, start: str = "") -> ConfigDict:
    """A list of one's own: the VideoMAE code's settings, with fewer clips a step.

    start: an AVA checkpoint, whose classes start anew.  The learning rate shrinks with the batch.
    """
    config = transformer("vit_l_k700")
    config.data = ConfigDict({**base_config().data.to_dict(), "people": 24, "test_people": 24})
    config.data.update({"name": "own", "root": "", "train": "", "validation": "", "labels": ""})
    config.data.update({"boxes": "", "unit": "shares", "every": 1.0})
    config.train.update({"batch_size": 8, "steps": 0, "epochs": 10.0, "loss_groups": 2})
    config.optim.batch_scaling = 128
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 1.25e-4, "end": 0.0, "warmup_epochs": 1.0}
    )
    config.evaluate.every_steps = 0
    config.checkpoint.every_steps = 1000
    if start:
        config.init = ({"from": start, "drop": NEW_CLASSES},)
    return config
