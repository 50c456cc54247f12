r"""The task classifier of PDPP on NIV: the task from start and goal.

    jaxvision train --config pdpp/niv_classifier --workdir runs/c3 \
        --config.data.root=DIR

Published top-1 accuracy (percent; the paper, not re-checked):
100 at both horizons.
One run per horizon: --config.data.horizon=4.
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import classifier_recipe


def get_config() -> ConfigDict:
    return classifier_recipe("niv", classes=5, actions=48)
