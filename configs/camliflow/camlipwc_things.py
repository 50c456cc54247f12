"""CamLiPWC on FlyingThings3D: 600 epochs, as published.

    jaxvision train --config camliflow/camlipwc_things --workdir runs/camlipwc

lite=True: the smaller estimator of pixels.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import fused, things
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    config = fused(things("camlipwc", epochs=600, batch=32, peak=5e-4, clip=20.0), 1e-3)
    config.model.lite = recipe_arguments(arguments, lite=False).lite
    return config
