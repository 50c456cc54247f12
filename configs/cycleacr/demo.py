"""CycleACR in miniature: films whose labels can only be told from other seconds, on a laptop CPU.

    jaxvision train --config cycleacr/demo --workdir runs/films

A figure a second, red or blue; asked are its colour and that of the second before, which no picture
of now tells. The colour before is what the evaluation counts. To compare:
`--config.task.remember=False` trains and evaluates without the memory.

Measured once each, on two busy CPU cores (about 2 minutes of processor time): 100.0 % mean average
precision on 32 held-out films with the memory, 47.0 % without; chance is 43.8 %, the share of
seconds that either label is true of.
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import transformer
from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = transformer("vit_s")
    config.dtype = "float32"
    config.model.update({"frames": 4, "image_size": 32, "patch": 8, "width": 32, "heads": 2})
    config.model.update({"layers": 2, "drop_path": 0.0, "remat": "none", "cell": 8, "bins": 3})
    config.model.update({"head_width": 32, "people": 1, "before": 2, "after": 2, "slots": 1})
    config.model.memory_slots = 1
    config.model.update({"hidden": 64, "dropout": 0.0})
    config.task.update({"loss": "focal", "groups": (2, 2, 0), "object_weight": 4.0})
    config.task.update({"stride": 1, "short_side": 32, "crop": 0, "flip": False, "jitter": False})
    config.task.update({"colours": False, "extend": (0.0, 0.0), "layer_decay": 1.0})
    config.task.update({"evaluation_batch": 32})
    figures = {"name": "figures", "train": 64, "validation": 32, "seconds": 8, "side": 32}
    figures |= {"people": 1, "test_people": 1}
    config.data = ConfigDict({**base_config().data.to_dict(), **figures})
    config.train.update({"batch_size": 32, "steps": 600, "loss_groups": 1})
    config.optim.weight_decay.value = 0.01
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 2e-3, "end": 0.0, "warmup_steps": 30}
    )
    config.optim.clip_norm = 1.0
    config.evaluate.every_steps = 0
    config.log.every_steps = 50
    config.checkpoint.every_steps = 600
    config.checkpoint.keep = 1
    return config
