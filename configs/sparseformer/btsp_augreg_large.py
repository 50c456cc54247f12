"""SparseFormer bootstrapped from AugReg ViT-L (2312.01987), to evaluate its weights or go on.

    jaxvision evaluate --config sparseformer/btsp_augreg_large \\
        --weights sparseformer_btsp_augreg_large_converted.pth

See btsp_augreg_base.py. Published: top-1 84.9 % (abstract; of ViT-L/16-384). Not run here.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config() -> ConfigDict:
    config = run_recipe(find_recipe("sparseformer/btsp_augreg_base"))
    config.model.update({"widths": (512, 1024), "cortex": 16})
    return config
