"""CycleACR on AVA 2.2: Swin-B of ImageNet-22k and Kinetics-600; published without a result.

    jaxvision train --config cycleacr/ava_swin_b_k600:start=FILE.pth --workdir runs/ava \
        --config.data.root=AVA/clips/trainval

start: the backbone's pretraining, as published (swin_base_patch244_window877_kinetics600_22k.pth).
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import convolutional
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    start = recipe_arguments(arguments, start="").start
    config = convolutional("swin_b_k600", peak=2.4e-3, weights=start)
    config.task.extend = (0.0, 0.0)
    return config
