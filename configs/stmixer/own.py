"""STMixer on people and actions of one's own: a CSV or JSON list beside the videos.

    jaxvision train --config stmixer/own:start=ava.pth --workdir runs/own \
        --config.data.root=videos --config.data.labels=actions.txt \
        --config.data.train=train.csv --config.data.validation=val.csv

Settings are ours: AVA's with fewer clips a step, and a learning rate that shrinks with them.
start: an AVA checkpoint, whose classes start anew.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import fine_tuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    config = fine_tuning(start=recipe_arguments(arguments, start="").start)
    config.data.update({"name": "own", "root": "", "train": "", "validation": "", "labels": ""})
    config.data.unit = "shares"
    config.train.batch_size = 4
    config.train.epochs = 10.0
    return config
