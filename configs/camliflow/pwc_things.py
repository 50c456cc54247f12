"""PWC-Net as CamLiPWC's branch of pixels, alone, on FlyingThings3D: 200 epochs, as published.

    jaxvision train --config camliflow/pwc_things --workdir runs/pwc

Adam with the decay in its gradient.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import cosine, things


def get_config() -> ConfigDict:
    config = things("pwc", epochs=200, batch=32, peak=1e-3, clip=20.0)
    config.optim.name = "adam"
    config.optim.learning_rate = ConfigDict(cosine(1e-3, 10, start=1e-4))
    return config
