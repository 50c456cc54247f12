"""What CoMAE's recipes share: the published settings of each stage (the authors' scripts)."""

from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError, nearest
from jaxvision.methods.comae.variants import SIZES
from jaxvision.training.config import base_config

# How a stage starts from the one before: 148 tensors of base, then 150.
AUTOENCODER_START: dict[str, Any] = {"drop": (r"^params/logit_scale$",)}
CLASSIFIER_START: dict[str, Any] = {
    "rename": ((r"^constants/positions$", "params/positions"),),
    "drop": (
        r"^constants/decoder_positions$",
        r"^params/(mask_token$|norm/|decoder_|rgb_head/|depth_head/)",
    ),
}
PROCESSES = 8  # of the published runs
# Pictures of SUN RGB-D's training split, of which an epoch of 8 x 16 leaves some over.
SUN_RGBD_TRAIN = 4845


def _shared(size: str) -> ConfigDict:
    if size not in SIZES:
        raise InputError(f"size {size!r}{nearest(size, SIZES)}")
    config = base_config()
    config.method = "comae"
    config.dtype = "bfloat16"
    config.model = {**SIZES[size]._asdict(), "image_size": 224, "patch": 16, "remat": "none"}
    config.task = {"flip": 0.5}
    config.data.update(
        {
            "name": "canvases",
            "root": "",
            "train": "train",
            "validation": "",
            "labels": "",
            "depth_unit": "millimetres",
        }
    )
    config.optim.name = "adamw"
    config.optim.weight_decay.value = 0.05
    config.optim.batch_scaling = 256
    return config


def _rate(peak: float, end: float, warmup: int, accumulate: int) -> dict[str, Any]:
    """Cosine by fractional epochs, as loops give it whose epochs leave micro-steps over."""
    micro_steps = SUN_RGBD_TRAIN // (PROCESSES * 16)
    return {
        "name": "cosine",
        "peak": peak,
        "end": end,
        "warmup_epochs": warmup,
        "inclusive_warmup": False,
        "clock": "fractional_epoch",
        "updates_per_epoch": micro_steps / accumulate,
    }


def pretraining(name: str, size: str = "base") -> ConfigDict:
    """Stage 1 ("contrast") or 2 ("autoencoder")."""
    config = _shared(size)
    config.task.update({"name": name, "scale": (0.2, 1.0), "aspect": (3 / 4, 4 / 3)})
    config.train.update({"batch_size": 256, "accumulate": 2, "draw_groups": PROCESSES})
    config.optim.b2 = 0.95
    if name == "contrast":
        config.train.epochs = 75.0
        config.optim.learning_rate = _rate(1e-3, 0.0, 10, 2)
    else:
        config.train.epochs = 1200.0
        config.optim.learning_rate = _rate(1e-3, 0.0, 60, 2)
        config.model.update({"decoder_width": 512, "decoder_heads": 16, "decoder_depth": 8})
        config.task.update({"mask_ratio": 0.75, "normalise_target": True})
        # A mean over the removed patches of a process, as published.
        config.train.loss_groups = PROCESSES
    return config


def finetuning(size: str = "base") -> ConfigDict:
    """Stage 3."""
    config = _shared(size)
    config.model.update({"pooling": "mean", "drop_path": 0.1})
    config.task.update(
        {
            "name": "classification",
            "scale": (0.7, 1.0),
            "aspect": (0.7, 1.2),
            "erase_probability": 0.5,
            "erase_area": (0.01, 0.1),
            "erase_aspect": (0.6, 1.5),
            "erase_fill": "black",
            "mixup_alpha": 0.8,
            "cutmix_alpha": 1.0,
            "label_smoothing": 0.1,
            "layer_decay": 0.65,
        }
    )
    config.data.validation = "val"
    config.train.update({"batch_size": 768, "accumulate": 6, "draw_groups": PROCESSES})
    config.train.epochs = 120.0
    config.optim.learning_rate = _rate(5e-4, 1e-6 * 256 / 768, 15, 6)
    config.evaluate.every_steps = 60
    config.checkpoint.best = "both/top1"
    return config
