"""VideoMAE V2, ViT-L: Kinetics-400.

    jaxvision train --config videomae/vit_l_k400_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 32 x 6 clips. Starts from vit_l_hybrid_pt_1200e.pth.
Published: not in the model zoo.
On one GPU: videomae/vit_l_k400_finetune:gpus=1, 6 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=32).gpus
    return finetuning(
        "l",
        "k400",
        gpus=gpus,
        clips=6,
        learning_rate=2e-3,
        epochs=35,
        layer_decay=0.75,
        drop_path=0.2,
        weights="vit_l_hybrid_pt_1200e.pth",
    )
