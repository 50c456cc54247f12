"""What CoMAE's recipes share: the published settings of each stage (the authors' scripts)."""

from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice
from jaxvision.methods.comae.variants import DECODER, SIZES
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
PAIRS = 16  # of a process's micro-batch
# Training pairs of each data set; an epoch of 8 x 16 leaves micro-steps over.
TRAINING_PAIRS = {"sunrgbd": 4845, "nyud": 795}


def _shared(size: str, gpus: int, accumulate: int) -> ConfigDict:
    check_choice("size", size, SIZES)
    if PROCESSES % gpus:
        raise InputError(f"recipe argument 'gpus': {gpus} does not divide {PROCESSES} processes")
    config = base_config()
    config.method = "comae"
    config.dtype = "bfloat16"
    config.model = ConfigDict(
        {**SIZES[size]._asdict(), "image_size": 224, "patch": 16, "remat": "none"}
    )
    config.task = ConfigDict({"flip": 0.5})
    config.data.update(
        {
            "name": "canvases",  # or "pairs" (one's own), "rooms" (made up)
            "root": "",
            "train": "train",
            "validation": "",
            "labels": "",
            "depth_unit": "millimetres",
        }
    )
    config.train.batch_size = PROCESSES * PAIRS * accumulate
    config.train.accumulate = accumulate * PROCESSES // gpus
    config.train.draw_groups = gpus
    config.optim.weight_decay.value = 0.05
    config.optim.batch_scaling = 256
    return config


def _rate(data: str, accumulate: int, **table: Any) -> ConfigDict:
    """A cosine by fractional epochs, whose leftover micro-steps count (37 of SUN RGB-D)."""
    check_choice("recipe argument 'data':", data, TRAINING_PAIRS)
    micro_steps = TRAINING_PAIRS[data] // (PROCESSES * PAIRS)
    return ConfigDict(
        {
            "name": "cosine",
            "inclusive_warmup": False,
            "clock": "fractional_epoch",
            "updates_per_epoch": micro_steps / accumulate,
            **table,
        }
    )


def pretraining(
    stage: str, *, size: str = "base", data: str = "sunrgbd", gpus: int = 8, start: str = ""
) -> ConfigDict:
    """Stage 1 ("contrast") or 2 ("autoencoder", from `start`, the weights of stage 1)."""
    config = _shared(size, gpus, accumulate=2)
    config.task.update({"name": stage, "scale": (0.2, 1.0), "aspect": (3 / 4, 4 / 3)})
    config.optim.b2 = 0.95
    if stage == "contrast":
        config.train.epochs, warmup = 75.0, 10
    else:
        config.train.epochs, warmup = 1200.0, 60
        width, heads, depth = DECODER
        config.model.update(
            {"decoder_width": width, "decoder_heads": heads, "decoder_depth": depth}
        )
        config.task.update({"mask_ratio": 0.75, "normalise_target": True})
        # Each process's mean over its own removed patches; all remove as many, so one mean is it.
        if start:
            config.init = ({"from": start, **AUTOENCODER_START},)
    config.optim.learning_rate = _rate(data, 2, peak=1e-3, end=0.0, warmup_epochs=warmup)
    return config


def finetuning(
    *, size: str = "base", data: str = "sunrgbd", gpus: int = 8, start: str = ""
) -> ConfigDict:
    """Stage 3, from `start`, the weights of stage 2."""
    config = _shared(size, gpus, accumulate=6)
    config.model.update({"pooling": "mean", "drop_path": 0.1})
    config.task.update(
        {
            "name": "classification",
            "scale": (0.7, 1.0),
            "aspect": (0.7, 1.2),
            "erase_probability": 0.5,
            "erase_area": (0.01, 0.1),
            "erase_aspect": (0.6, 1.5),
            "mixup_alpha": 0.8,
            "cutmix_alpha": 1.0,
            "label_smoothing": 0.1,
            "layer_decay": 0.65,
        }
    )
    config.data.validation = "val"
    config.train.epochs = 120.0
    # The floor is not scaled by the batch in the published schedule: divided here, it comes out.
    floor = 1e-6 * config.optim.batch_scaling / config.train.batch_size
    config.optim.learning_rate = _rate(data, 6, peak=5e-4, end=floor, warmup_epochs=15)
    config.evaluate.every_steps = 60
    config.checkpoint.best = "both/top1"
    if start:
        config.init = ({"from": start, **CLASSIFIER_START},)
    return config
