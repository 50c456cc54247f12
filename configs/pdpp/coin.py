r"""PDPP on COIN with S3D features.

    jaxvision train --config pdpp/coin --workdir runs/t3 --config.data.root=DIR
    jaxvision train --config pdpp/coin --workdir runs/t4 --config.data.root=DIR \
        --config.data.horizon=4

One run per horizon; nothing else changes with it. Published results (percent;
one pass of 10 DDIM steps; * = the paper, not re-checked):

| horizon | SR | mAcc | mIoU |
| --- | --- | --- | --- |
| 3 | 21.33 | 45.62 | 51.82 |
| 4 * | 14.41 | 44.10 | 51.39 |

The task classifier trains beside the planner in the same run (they share no parameter). To train it
as published, on batches of 256, run pdpp/coin_classifier first and start from it:
--config.task.classifier=frozen --config.init='({"from": "runs/c3", "to": ""},)'.
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import planner_recipe


def get_config() -> ConfigDict:
    return planner_recipe(
        "coin",
        classes=180,
        actions=778,
        steps=160_000,
        peak=1e-5,
        classifier_rate=10.0,  # a peak of 1e-4
    )
