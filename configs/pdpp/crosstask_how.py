r"""PDPP on CrossTask with S3D features (CrossTask_How).

    jaxvision train --config pdpp/crosstask_how --workdir runs/t3 --config.data.root=DIR
    jaxvision train --config pdpp/crosstask_how --workdir runs/t4 --config.data.root=DIR \
        --config.data.horizon=4

One run per horizon; nothing else changes with it. Published results (percent;
one pass of 10 DDIM steps; * = the paper, not re-checked):

| horizon | SR | mAcc | mIoU |
| --- | --- | --- | --- |
| 3 | 37.20 | 64.67 | 66.57 |
| 4 * | 21.48 | 57.82 | 65.13 |
| 5 * | 13.45 | | |
| 6 * | 8.41 | | |

The task classifier trains beside the planner in the same run (they share no parameter). To train it
as published, on batches of 256, run pdpp/crosstask_how_classifier first and start from it:
--config.task.classifier=frozen --config.init='({"from": "runs/c3", "to": ""},)'.
Uncertainty at horizon 6: --config.task.uncertainty_samples=1500 (published NLL 4.06, KL 2.76,
ModePrec 25.61, ModeRec 22.68; Noise baseline 4.79, 3.49, 24.51, 11.04; Deterministic 5.12, 3.82,
25.24, 6.75).
"""

from ml_collections import ConfigDict

from jaxvision.methods.pdpp.recipes import planner_recipe


def get_config() -> ConfigDict:
    return planner_recipe(
        "crosstask_how",
        classes=18,
        actions=105,
        steps=24_000,
        peak=5e-4,
        classifier_rate=0.2,  # a peak of 1e-4
    )
