"""CycleACR on people and actions of one's own: a CSV or JSON list beside the videos.

    jaxvision train --config cycleacr/own:start=ava.pth --workdir runs/own \
        --config.data.root=videos --config.data.labels=actions.txt \
        --config.data.train=train.csv --config.data.validation=val.csv

ViT-L of VideoMAE; settings are ours: the published ones, with fewer clips a step. The memory has a
row for every `data.every` seconds of a film. start: an AVA checkpoint, whose classes start anew.
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import own
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    return own(start=recipe_arguments(arguments, start="").start)
