"""SparseFormer-T on ImageNet-1K from scratch, as published (section 4.1): 300 epochs at 224 x 224.

    jaxvision train --config sparseformer/tiny --workdir runs/sparseformer_tiny

Published: top-1 81.0 % at 2.0 G multiply-adds. Not run here. Each record comes three times in a
row, interleaved over eight draw groups as over eight processes, so an epoch of 1,251 steps sees a
third of the records. `tensorflow_datasets` must have prepared imagenet2012 as array_record; for
one's own folder: --config.data.name=folder --config.data.train=train --config.data.validation=val.

On fewer GPUs, sparseformer/tiny:gpus=1 (or 2, 4): the same 1,024 pictures a step in micro-batches,
128 a GPU, each with its own draw of mixing, so no scaling rule applies and the rate stays.
"""

from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.training.config import base_config, recipe_arguments

PROCESSES = 8  # of the published run, each with its own draws of mixing


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=PROCESSES).gpus
    if PROCESSES % gpus:
        raise InputError(f"recipe argument 'gpus': {gpus} does not divide {PROCESSES} processes")
    config = base_config()
    config.method = "sparseformer"
    config.dtype = "bfloat16"
    config.model = ConfigDict(
        {
            "flavour": "paper",
            "tokens": 49,
            "points": 36,
            "channels": 96,
            "widths": (256, 512),
            "cortex": 8,
            "repeats": 4,
            "drop_path": 0.2,
        }
    )
    config.task = ConfigDict(
        {
            "name": "classification",
            "scale": (0.08, 1.0),
            "flip": 0.5,
            "record_repeats": 3,
            "rand_augment": "rand-m9-n2-mstd0.5-inc1",
            "erase_probability": 0.25,
            "mixup_alpha": 0.8,
            "cutmix_alpha": 1.0,
            "label_smoothing": 0.1,
        }
    )
    config.data.update(
        {
            "name": "tfds",
            "root": "",
            "train": "",
            "validation": "",
            "dataset": "imagenet2012",
            "labels": "",
            "size": 224,
            "short_side": 256,
            "resampling": "bicubic",
            "normalisation": "imagenet",
            "workers": 16,
        }
    )
    config.train.epochs = 300.0
    config.train.batch_size = 1024
    config.train.accumulate = PROCESSES // gpus
    config.train.draw_groups = gpus
    config.optim.clip_norm = 5.0
    config.optim.weight_decay.value = 0.05
    config.optim.learning_rate = ConfigDict(
        {
            "name": "unshifted_cosine",
            "peak": 1e-3,
            "start": 1e-6,
            "end": 1e-5,
            "warmup_epochs": 20,
        }
    )
    config.ema.decay = 0.9999
    config.evaluate.weights = "ema"
    config.evaluate.every_steps = 1251
    config.checkpoint.every_steps = 1251
    config.checkpoint.best = "validation/top1"
    return config
