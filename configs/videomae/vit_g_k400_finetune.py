"""VideoMAE V2, ViT-g: Kinetics-400.

    jaxvision train --config videomae/vit_g_k400_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 64 x 3 clips. Starts from vit_g_hybrid_pt_1200e.pth.
Published: 87.2 % top-1, 97.4 % top-5 (16x5x3 views).
On one GPU: videomae/vit_g_k400_finetune:gpus=1, 3 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=64).gpus
    return finetuning(
        "g",
        "k400",
        gpus=gpus,
        clips=3,
        learning_rate=1e-3,
        epochs=30,
        layer_decay=0.9,
        drop_path=0.2,
        weight_decay=0.1,
        weights="vit_g_hybrid_pt_1200e.pth",
    )
