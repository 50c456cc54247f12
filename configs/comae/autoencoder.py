"""CoMAE stage 2, multi-modal masked autoencoding, on SUN RGB-D, from stage 1.

    jaxvision train --config comae/autoencoder:start=RUN1 --workdir RUN2 \\
        --config.data.root=sunrgbd

start: the workdir of stage 1, or its official file. 1,200 epochs of 256 pairs, as published for 8
GPUs; no accuracy is stated for this stage. Other arguments as of comae/contrast.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.comae.recipes import pretraining
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, size="base", data="sunrgbd", gpus=8, start="")
    return pretraining("autoencoder", **vars(chosen))
