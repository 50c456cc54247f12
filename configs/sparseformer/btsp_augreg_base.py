"""SparseFormer bootstrapped from AugReg ViT-B (2312.01987), to evaluate its weights or go on.

    jaxvision evaluate --config sparseformer/btsp_augreg_base \\
        --weights sparseformer_btsp_augreg_base_converted.pth

Pictures are resized as in the package: 256 pixels, bilinear, mean and deviation 0.5. Bootstrapping
itself is unpublished (no code, no settings): `train` fine-tunes with the settings of tiny.py at a
tenth of its learning rate, which is ours. Published: no accuracy for this file. Not run here.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config() -> ConfigDict:
    config = run_recipe(find_recipe("sparseformer/tiny"))
    config.model.update(
        {
            "flavour": "augreg",
            "tokens": 48,
            "points": 16,
            "channels": 64,
            "widths": (384, 768),
            "cortex": 8,
        }
    )
    config.data.update({"resampling": "bilinear", "normalisation": "half"})
    config.optim.learning_rate.peak = 1e-4
    config.optim.learning_rate.start = 1e-7
    config.optim.learning_rate.end = 1e-6
    return config
