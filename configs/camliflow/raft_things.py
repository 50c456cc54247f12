"""RAFT with CamLiRAFT's encoder, of pixels alone, on FlyingThings3D: 200 epochs, as published.

jaxvision train --config camliflow/raft_things:start=resnet50-11ad3fa6.pth --workdir runs/raft
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import cosine, imagenet, things
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    config = things("raft", epochs=200, batch=8, peak=2e-4, clip=1.0)
    config.task.crop = (480, 800)
    config.optim.learning_rate = ConfigDict(cosine(2e-4, 5, end=0.0))
    return imagenet(config, recipe_arguments(arguments, start="").start)
