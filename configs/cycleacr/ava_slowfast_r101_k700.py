"""CycleACR on AVA 2.2: SlowFast R101 8x8 of Kinetics-700; 34.0 % mAP (published).

    jaxvision train --config cycleacr/ava_slowfast_r101_k700:start=FILE.pth --workdir runs/ava \
        --config.data.root=AVA/clips/trainval

Person boxes of the evaluation: `data.boxes`, theirs or any of that form.

start: the backbone's pretraining, as published (SlowFast-ResNet101-8x8.pth).
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import convolutional
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    start = recipe_arguments(arguments, start="").start
    return convolutional("slowfast_r101_k700", peak=8e-4, weights=start)
