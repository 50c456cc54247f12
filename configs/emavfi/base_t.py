"""EMA-VFI base for any time on Vimeo90K septuplets: three of the seven frames, t as they lie.

    jaxvision train --config emavfi/base_t --workdir runs/base_t --config.data.root=FOLDER

The authors' files of this kind reach 32.85 dB on X-TEST 2K (their number). They published no
training code for it; only the data differs, they say, after RIFE (2011.06294).
"""

from ml_collections import ConfigDict

from jaxvision.training.config import find_recipe, run_recipe


def get_config() -> ConfigDict:
    config = run_recipe(find_recipe("emavfi/base"))
    config.model.any_time = True
    config.data.name = "vimeo_septuplets"
    config.data.root = "vimeo_septuplet"
    return config
