"""SparseFormer-S as the authors' later package computes it, to evaluate its weights.

    jaxvision evaluate --config sparseformer/v1_small --weights sparseformer_v1_small_converted.pth

Pictures are resized as in the package: 256 pixels, bilinear. Published: nothing for these files;
the paper's weights, of which they are conversions, have top-1 82.0 %. Not run here.
Training in these numerics is unpublished: the settings are those of small.py.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config() -> ConfigDict:
    config = run_recipe(find_recipe("sparseformer/small"))
    config.model.flavour = "package"
    config.data.resampling = "bilinear"
    return config
