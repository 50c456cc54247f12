r"""The task classifier of PDPP, CrossTask with its own features: the task from start and goal.

    jaxvision train --config pdpp/crosstask_base_classifier --workdir runs/c3 \
        --config.data.root=DIR

Published top-1 accuracy (percent; the paper, not re-checked):
83.9, 83.6, 83.4, 83.9 at horizons 3 to 6.
One run per horizon: --config.data.horizon=4.
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import classifier_recipe


def get_config() -> ConfigDict:
    return classifier_recipe("crosstask_base", classes=18, actions=105, channels=3200)
