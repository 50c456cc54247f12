"""SparseFormer-B on ImageNet-1K from scratch, as published; see tiny.py for data and steps.

    jaxvision train --config sparseformer/base --workdir runs/sparseformer_base

Published: top-1 82.6 % at 7.8 G multiply-adds. Not run here.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config(arguments: str = "") -> ConfigDict:
    config = run_recipe(find_recipe("sparseformer/tiny"), arguments)
    config.model.update({"tokens": 81, "widths": (384, 768), "cortex": 10, "drop_path": 0.4})
    return config
