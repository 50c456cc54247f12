"""STMixer with ViT-B of VideoMAE on AVA 2.2.

    jaxvision train --config stmixer/ava_vit_b_k400:weights=FILE --workdir runs/ava

weights: of the backbone's pretraining.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import detection
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, weights="")
    return detection("vit_b_k400", weights=chosen.weights)
