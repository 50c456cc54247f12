"""CamLiPWC without pictures on FlyingThings3D: 300 epochs, as published.

jaxvision train --config camliflow/camlipwc_l_things --workdir runs/camlipwc_l
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import things


def get_config() -> ConfigDict:
    return things("camlipwc_l", epochs=300, batch=32, peak=1e-3, clip=20.0)
