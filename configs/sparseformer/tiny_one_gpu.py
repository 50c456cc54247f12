"""SparseFormer-T on one GPU: the published recipe in micro-batches, its steps unchanged.

    jaxvision train --config sparseformer/tiny_one_gpu --workdir runs/sparseformer_tiny

Not run here. 1,024 pictures in eight micro-batches of 128.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config() -> ConfigDict:
    config = run_recipe(find_recipe("sparseformer/tiny"))
    config.train.accumulate = 8
    config.train.draw_groups = 1
    return config
