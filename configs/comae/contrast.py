"""CoMAE stage 1, cross-modal patch contrast, on SUN RGB-D (or NYUDv2: another data.root).

    jaxvision train --config comae/contrast --workdir DIR --config.data.root=sunrgbd
    jaxvision train --config comae/contrast:size=small ...

75 epochs of 256 pairs on 8 GPUs as published; no accuracy is stated for this stage. `gpus=1`: the
same batch in more micro-batches. data.root holds train/<class>/<canvas>.png
(`jaxvision prepare sunrgbd`).
"""

from jaxvision.methods.comae.recipes import pretraining
from jaxvision.training.config import recipe_arguments


def get_config(arg: str = ""):
    chosen = recipe_arguments(arg, size="base", gpus=8)
    config = pretraining("contrast", chosen.size)
    return config
