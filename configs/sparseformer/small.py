"""SparseFormer-S on ImageNet-1K from scratch, as published; see tiny.py for data and steps.

    jaxvision train --config sparseformer/small --workdir runs/sparseformer_small

Published: top-1 82.0 % at 3.8 G multiply-adds. Not run here.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config(arguments: str = "") -> ConfigDict:
    config = run_recipe(find_recipe("sparseformer/tiny"), arguments)
    config.model.update({"tokens": 64, "widths": (320, 640), "cortex": 8, "drop_path": 0.3})
    return config
