r"""PDPP on CrossTask with the dataset's own features (CrossTask_Base).

    jaxvision train --config pdpp/crosstask_base --workdir runs/t3 --config.data.root=DIR
    jaxvision train --config pdpp/crosstask_base --workdir runs/t4 --config.data.root=DIR \
        --config.data.horizon=4

One run per horizon; nothing else changes with it. Published results (percent;
all rows from the paper, not re-checked):

| horizon | SR | mAcc | mIoU |
| --- | --- | --- | --- |
| 3 | 26.38 | 55.62 | 59.34 |
| 4 | 18.69 | 52.44 | 62.38 |
| 5 | 13.22 | | |
| 6 | 7.60 | | |

The task classifier trains beside the planner in the same run (they share no parameter). To train it
as published, on batches of 256, run pdpp/crosstask_base_classifier first and start from it:
--config.task.classifier=frozen --config.init='({"from": "runs/c3", "to": ""},)'.
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import planner_recipe


def get_config() -> ConfigDict:
    return planner_recipe(
        "crosstask_base",
        classes=18,
        actions=105,
        channels=3200,
        steps=12_000,
        peak=8e-4,
        classifier_rate=0.125,  # a peak of 1e-4
    )
