"""CoMAE in miniature: made-up rooms under a colour and a depth camera, on a laptop CPU.

    jaxvision train --config comae/demo:stage=contrast --workdir runs/rooms1
    jaxvision train --config comae/demo:stage=autoencoder,start=runs/rooms1 --workdir runs/rooms2
    jaxvision train --config comae/demo:start=runs/rooms2 --workdir runs/rooms3

Six kinds of rooms, told apart by where their boxes stand; photographs on the surfaces are others
in the evaluation. Measured once, on two busy CPU cores (977 s of processor time for these three
lines and both ways from fresh weights; `python benchmarks/comae_curriculum.py --seeds 1`), top-1
with both modalities, RGB alone and depth alone; chance is 16.7 %: 96.7, 51.0 and 94.8 %. From fresh
weights with the same settings 94.0, 57.1 and 93.1 %, with one rate for all layers 97.1, 57.1 and
96.5 %: rooms this simple do not need what the first stages teach.
"""

from ml_collections import ConfigDict

from jaxvision.errors import InputError, nearest
from jaxvision.methods.comae.recipes import finetuning, pretraining
from jaxvision.training.config import recipe_arguments

STAGES = ("contrast", "autoencoder", "classification")
STEPS = {"contrast": 150, "autoencoder": 450, "classification": 240}
RATES = {"contrast": 1e-3, "autoencoder": 2e-3, "classification": 1e-3}


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, stage="classification", start="")
    if chosen.stage not in STAGES:
        raise InputError(
            f"recipe argument 'stage': {chosen.stage!r}{nearest(chosen.stage, STAGES)}"
        )
    classifies = chosen.stage == "classification"
    if classifies:
        config = finetuning(start=chosen.start)
        config.model.drop_path = 0.0
        config.task.update({"mixup_alpha": 0.0, "cutmix_alpha": 0.0, "erase_probability": 0.0})
    elif chosen.stage == "autoencoder":
        config = pretraining("autoencoder", start=chosen.start)
        config.model.update({"decoder_width": 64, "decoder_heads": 4, "decoder_depth": 2})
    else:
        config = pretraining("contrast")
    config.dtype = "float32"
    config.model.update({"width": 96, "depth": 4, "heads": 4, "image_size": 48, "patch": 6})
    config.task.scale = (0.6, 1.0)
    with config.ignore_type():  # counts of rooms, not folders
        config.data.update({"name": "rooms", "side": 56, "train": 480, "validation": 480})
    config.train.update({"batch_size": 32, "accumulate": 1, "draw_groups": 4, "epochs": 0.0})
    config.train.steps = STEPS[chosen.stage]
    config.optim.batch_scaling = 0
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": RATES[chosen.stage], "end": 0.0, "warmup_steps": 30}
    )
    config.evaluate.every_steps = 0
    config.log.every_steps = 30
    config.checkpoint.every_steps = 150
    config.checkpoint.keep = 2
    config.checkpoint.best = ""
    return config
