"""CycleACR on AVA 2.2: SlowFast R50 8x8; no published result.

    jaxvision train --config cycleacr/ava_slowfast_r50:start=FILE.pth --workdir runs/ava \
        --config.data.root=AVA/clips/trainval

start: the backbone's pretraining, or PySlowFast's classifier (SLOWFAST_8x8_R50.pkl), of which all
but the lateral convolutions is taken.
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import convolutional
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    start = recipe_arguments(arguments, start="").start
    return convolutional("slowfast_r50", peak=8e-4, weights=start)
