"""CamLiRAFT on the FlyingThings3D subset: 150 epochs, as published.

    jaxvision prepare flyingthings3d RAW flyingthings3d
    jaxvision train --config camliflow/camliraft_things:start=resnet50-11ad3fa6.pth \
        --workdir runs/camliraft

start: torchvision's ResNet-50, which both image encoders begin with, and whose norms never change.
epochs=80 is the model that the authors evaluate on Sintel without fine-tuning:
--config.task.benchmarks.sintel_final=FOLDER. They trained 3 days on four GPUs of 24 GB.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import fused, imagenet, things
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, epochs=150, start="")
    config = things("camliraft", epochs=chosen.epochs, batch=8, peak=2e-4, clip=1.0)
    return imagenet(fused(config, 2e-3), chosen.start)
