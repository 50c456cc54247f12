"""CycleACR on AVA 2.2: ViT-L of VideoMAE, Kinetics-700; 40.6 % mAP (published).

    jaxvision train --config cycleacr/ava_vit_l_k700:start=k700.pth --workdir runs/ava \
        --config.data.root=AVA/clips/trainval

start: a VideoMAE classifier of Kinetics-700.
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import transformer
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    return transformer("vit_l_k700", weights=recipe_arguments(arguments, start="").start)
