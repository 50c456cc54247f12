r"""The task classifier of PDPP on COIN: the task from start and goal.

    jaxvision train --config pdpp/coin_classifier --workdir runs/c3 \
        --config.data.root=DIR

Published top-1 accuracy (percent; the paper, not re-checked):
79.4, 78.9 at horizons 3 and 4.
One run per horizon: --config.data.horizon=4.
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import classifier_recipe


def get_config() -> ConfigDict:
    return classifier_recipe("coin", classes=180, actions=778)
