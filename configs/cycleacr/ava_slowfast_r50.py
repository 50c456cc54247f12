"""CycleACR on AVA 2.2: SlowFast R50 8x8; no published result.

    jaxvision train --config cycleacr/ava_slowfast_r50 --workdir runs/ava \
        --config.data.root=AVA/clips/trainval
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import convolutional


def get_config() -> ConfigDict:
    return convolutional("slowfast_r50", peak=8e-4)
