r"""PDPP on NIV.

    jaxvision train --config pdpp/niv --workdir runs/t3 --config.data.root=DIR
    jaxvision train --config pdpp/niv --workdir runs/t4 --config.data.root=DIR \
        --config.data.horizon=4

One run per horizon; nothing else changes with it. Published results (percent;
one pass of 10 DDIM steps; * = the paper, not re-checked):

| horizon | SR | mAcc | mIoU |
| --- | --- | --- | --- |
| 3 | 31.25 | 49.26 | 57.92 |
| 4 (first version) * | 26.67 | 46.89 | 59.45 |

The task classifier trains beside the planner in the same run (they share no parameter). To train it
as published, on batches of 256, run pdpp/niv_classifier first and start from it:
--config.task.classifier=frozen --config.init='({"from": "runs/c3", "to": ""},)'.
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import planner_recipe


def get_config() -> ConfigDict:
    return planner_recipe(
        "niv",
        classes=5,
        actions=48,
        steps=6_500,
        peak=3e-4,
        classifier_rate=1.0 / 3.0,  # a peak of 1e-4
        diffusion_steps=50,
        every_steps=250,
    )
