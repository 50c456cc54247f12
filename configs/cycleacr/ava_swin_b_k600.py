"""CycleACR on AVA 2.2: Swin-B of ImageNet-22k and Kinetics-600; published without a result.

    jaxvision train --config cycleacr/ava_swin_b_k600 --workdir runs/ava \
        --config.data.root=AVA/clips/trainval
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import convolutional


def get_config() -> ConfigDict:
    config = convolutional("swin_b_k600", peak=2.4e-3)
    config.task.extend = (0.0, 0.0)
    return config
