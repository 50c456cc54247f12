"""SparseFormer in miniature: handwritten digits on a laptop CPU, no download.

    jaxvision train --config sparseformer/demo --workdir runs/digits

Nine tokens sample nine points each, three times. Every fifth digit is held out; the evaluation
`validation` prints the share of them named right: 0.997 measured on two CPU cores, in
86 seconds with start-up, beside another program.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "sparseformer"
    config.model = ConfigDict(
        {
            "flavour": "paper",  # or "package", "augreg", "clip"
            "tokens": 9,
            "points": 9,
            "channels": 32,
            "widths": (64, 64),
            "cortex": 2,
            "repeats": 2,
            "drop_path": 0.0,
        }
    )
    config.task = ConfigDict(
        {
            "name": "classification",
            "scale": (0.7, 1.0),
            "flip": 0.0,
            "record_repeats": 1,
            "rand_augment": "",
            "erase_probability": 0.0,
            "mixup_alpha": 0.0,
            "cutmix_alpha": 0.0,
            "label_smoothing": 0.1,
        }
    )
    config.data.update(
        {
            "name": "digits",
            "root": "",
            "train": "",
            "validation": "",
            "dataset": "",
            "labels": "",
            "size": 32,
            "short_side": 32,
            "resampling": "bicubic",
            "normalisation": "half",
        }
    )
    config.train.steps = 600
    config.train.batch_size = 64
    config.optim.clip_norm = 5.0
    config.optim.weight_decay.value = 0.05
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 2e-3, "end": 1e-5, "warmup_steps": 60}
    )
    config.checkpoint.every_steps = 300
    config.checkpoint.keep = 2
    config.evaluate.every_steps = 300
    config.log.every_steps = 50
    config.log.pictures_every_steps = 300
    return config
