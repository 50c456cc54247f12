"""UMT for action recognition: Kinetics-710/400/600/700, Moments in Time, Something-Something V2.

    jaxvision train --config umt/finetune:set=k400,size=b --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

Every published script: set=k710|k400|k600|k700|mit|ssv2, size=b|l, form=f16 (16 frames; size=l of
k400, k600, k700) or form=res384 (384 pixels; mit). Kinetics-600 and 700 take the rows of the
Kinetics-710 head that label_mixto600.json and label_mixto700.json list, the authors' files.
Published top-1: k710 81.9 (B), 86.0 (L); k400 87.4, 90.3 (f16 90.6); k600 87.8, 90.4 (f16 90.5);
k700 78.5, 83.2 (f16 83.6); mit 44.6, 48.0 (res384 45.5, 48.7); ssv2 70.8, 74.7, whose script tests
2 clips x 3 crops while the table says 4 x 3 (--config.task.segments=4).
On one GPU: umt/finetune:set=k400,size=b,gpus=1, 16 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, set="k400", size="b", form="", gpus=16)
    published = given.gpus == 16
    return finetuning(given.set, given.size, form=given.form, gpus=0 if published else given.gpus)
