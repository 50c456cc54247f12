"""CoMAE stage 2, multi-modal masked autoencoding, on SUN RGB-D (or NYUDv2: another data.root).

    jaxvision train --config comae/autoencoder --workdir DIR --config.data.root=sunrgbd
        --config.init.0.from=STAGE1

STAGE1: the workdir of stage 1, or its official file. 1,200 epochs of 256 pairs on 8 GPUs as
published; no accuracy is stated for this stage. `:size=small` chooses another size.
"""

from jaxvision.methods.comae.recipes import AUTOENCODER_START, pretraining
from jaxvision.training.config import recipe_arguments


def get_config(arg: str = ""):
    chosen = recipe_arguments(arg, size="base", start="")
    config = pretraining("autoencoder", chosen.size)
    if chosen.start:
        config.init = ({"from": chosen.start, **AUTOENCODER_START},)
    return config
