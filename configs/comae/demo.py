"""CoMAE in miniature: made-up rooms under a colour and a depth camera, on a laptop CPU.

    jaxvision train --config comae/demo:stage=contrast --workdir runs/rooms1
    jaxvision train --config comae/demo:stage=autoencoder,start=runs/rooms1 --workdir runs/rooms2
    jaxvision train --config comae/demo:start=runs/rooms2 --workdir runs/rooms3

Six kinds of rooms, told apart by where their boxes stand; photographs on the surfaces are others
in the evaluation; chance is 16.7 %. Measured once, top-1 of 480 held-out rooms, per cent:

    a linear classifier on frozen features            labels: 24    48    96   240   480
    both, after the first two stages                        66.9  83.5  85.4  90.8  93.3
    both, of the untrained network                          55.8  65.0  68.1  77.7  80.4
    RGB alone, after the first two stages                   34.8  40.8  41.9  48.3  59.6
    RGB alone, of the untrained network                     34.0  37.9  38.1  42.5  45.2
    depth alone, after the first two stages                 67.7  79.0  88.8  93.8  96.2
    depth alone, of the untrained network                   50.8  61.9  70.2  76.5  82.9

    everything fine-tuned                       on 24 labels          on 480 labels
                                                both   RGB  depth     both   RGB  depth
    the three lines above                       69.8  39.0   74.8     96.7  51.0   94.8
    the last stage from fresh weights           65.2  44.0   59.2     94.0  57.1   93.1
    the same with one rate for all layers       62.7  46.5   59.0     97.1  57.1   96.5
    the three lines, three times the steps      79.0  39.4   83.3
    fresh, one rate, three times the steps      87.1  50.6   85.8

The first stages teach without a label what a room is: frozen features, and a short fine-tuning on
few labels, beat fresh weights, but for RGB alone. A longer fine-tuning of a network so small,
or labels for all rooms (`--config.data.train=480 --config.train.batch_size=32
--config.train.steps=240`), does without them. On two busy CPU cores a fine-tuning of 100 steps took
156 s of processor time; all of the right half, the first stages included, 977 s.
`python benchmarks/comae_curriculum.py --seeds 1` makes the first table and the left half of the
second, with --probe the first alone.
"""

from ml_collections import ConfigDict

from jaxvision.errors import InputError, nearest
from jaxvision.methods.comae.recipes import finetuning, pretraining
from jaxvision.training.config import recipe_arguments

STAGES = ("contrast", "autoencoder", "classification")
STEPS = {"contrast": 150, "autoencoder": 450, "classification": 100}
ROOMS = {"contrast": 480, "autoencoder": 480, "classification": 24}
BATCH = {"contrast": 32, "autoencoder": 32, "classification": 24}
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
        config.data.update({"name": "rooms", "side": 56, "validation": 480})
        config.data.train = ROOMS[chosen.stage]
    config.train.update({"accumulate": 1, "draw_groups": 4, "epochs": 0.0})
    config.train.batch_size, config.train.steps = BATCH[chosen.stage], STEPS[chosen.stage]
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
