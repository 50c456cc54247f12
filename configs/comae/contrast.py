"""CoMAE stage 1, cross-modal patch contrast, on SUN RGB-D.

    jaxvision prepare sunrgbd SRC sunrgbd --list 19scenes_train.txt 19scenes_test.txt
    jaxvision train --config comae/contrast --workdir RUN1 --config.data.root=sunrgbd

75 epochs of 256 pairs, as published for 8 GPUs; no accuracy is stated for this stage.
:size=small or large, :data=nyud; on fewer GPUs :gpus=1, the same pairs a step in micro-batches.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.comae.recipes import pretraining
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, size="base", data="sunrgbd", gpus=8)
    return pretraining("contrast", size=chosen.size, data=chosen.data, gpus=chosen.gpus)
