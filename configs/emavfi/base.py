"""EMA-VFI base at t = 0.5 on Vimeo90K triplets, as published (2303.00440, section 4.1).

    jaxvision train --config emavfi/base --workdir runs/base --config.data.root=vimeo_triplet

Published after 300 epochs, with test-time augmentation: 36.64 dB / 0.9819 on the Vimeo90K test list
(the authors' number).
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config() -> ConfigDict:
    config = run_recipe(find_recipe("emavfi/small"))
    config.model.width = 32
    config.model.depths = (2, 2, 2, 4, 4)
    config.task.augment = True
    return config
