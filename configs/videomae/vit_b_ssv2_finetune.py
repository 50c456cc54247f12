"""VideoMAE V2, ViT-B: Something-Something V2.

    jaxvision train --config videomae/vit_b_ssv2_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 16 x 16 clips. Starts from vit_b_hybrid_pt_800e.pth.
Published: not in the model zoo.
On one GPU: videomae/vit_b_ssv2_finetune:gpus=1, 16 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=16).gpus
    return finetuning(
        "b",
        "ssv2",
        gpus=gpus,
        clips=16,
        learning_rate=2e-3,
        epochs=25,
        layer_decay=0.65,
        drop_path=0.1,
        weights="vit_b_hybrid_pt_800e.pth",
    )
