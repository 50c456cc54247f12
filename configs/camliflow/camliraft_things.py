"""CamLiRAFT on the FlyingThings3D subset: 150 epochs, as published.

    jaxvision prepare flyingthings3d RAW flyingthings3d
    jaxvision train --config camliflow/camliraft_things --workdir runs/camliraft

epochs=80 is the model that the authors evaluate on Sintel without fine-tuning:
--config.task.benchmarks.sintel_final=FOLDER. They trained 3 days on four GPUs of 24 GB.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import fused, things
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    epochs = recipe_arguments(arguments, epochs=150).epochs
    return fused(things("camliraft", epochs=epochs, batch=8, peak=2e-4, clip=1.0), 2e-3)
