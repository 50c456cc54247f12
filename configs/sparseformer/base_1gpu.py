"""SparseFormer-B on one GPU: the published recipe in micro-batches, its steps unchanged.

    jaxvision train --config sparseformer/base_1gpu --workdir runs/sparseformer_base

1,024 pictures a step in eight micro-batches of 128, each with its own draw of mixing, as each of
the eight published processes had. So no scaling rule applies: the learning rate is the published.
Published: top-1 82.6 %. Not run here.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config() -> ConfigDict:
    config = run_recipe(find_recipe("sparseformer/base"))
    config.train.accumulate = 8
    config.train.draw_groups = 1
    return config
