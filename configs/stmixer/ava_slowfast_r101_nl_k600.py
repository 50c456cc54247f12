"""STMixer with SlowFast 8x8 R101 with non-local blocks on AVA 2.2.

    jaxvision train --config stmixer/ava_slowfast_r101_nl_k600:weights=FILE --workdir runs/ava

weights: of the backbone's pretraining.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import detection
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, weights="")
    return detection("slowfast_r101_nl_k600", weights=chosen.weights)
