r"""The task classifier of PDPP, CrossTask with S3D features: the task from start and goal.

    jaxvision train --config pdpp/crosstask_how_classifier --workdir runs/c3 \
        --config.data.root=DIR

Published top-1 accuracy (percent; the paper, not re-checked):
92.4, 93.0, 93.4, 93.2 at horizons 3 to 6.
One run per horizon: --config.data.horizon=4.
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import classifier_recipe


def get_config() -> ConfigDict:
    return classifier_recipe("crosstask_how", classes=18, actions=105)
