"""CamLiRAFT for other data than it was trained on: 80 epochs of FlyingThings3D, then Sintel's
training scenes, final pass, without fine-tuning, as published (2.38 pixels).

    jaxvision train --config camliflow/camliraft_sintel:start=resnet50-11ad3fa6.pth \
        --workdir runs/sintel
    jaxvision evaluate --workdir runs/sintel --config.task.benchmarks.sintel_final=sintel

The folder holds flow/training and depth/training.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import fused, imagenet, things
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    config = fused(things("camliraft", epochs=80, batch=8, peak=2e-4, clip=1.0), 2e-3)
    return imagenet(config, recipe_arguments(arguments, start="").start)
