"""CoMAE stage 3, scene recognition on SUN RGB-D (19 classes) from stage 2.

    jaxvision train --config comae/finetune:start=RUN2 --workdir RUN3 --config.data.root=sunrgbd
    jaxvision evaluate --workdir RUN3

start: the workdir of stage 2, or its official file. 120 epochs of 768 pairs, as published for 8
GPUs, RGB or depth left out at random. NYUDv2 (10 classes): :data=nyud and its data.root. A folder
of one's own: --config.data.name=pairs. Other arguments as of comae/contrast.
Published: the repository states no accuracy. Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.comae.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, size="base", data="sunrgbd", gpus=8, start="")
    return finetuning(**vars(chosen))
