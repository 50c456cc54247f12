"""VideoMAE V2, ViT-g: Kinetics-400 after Kinetics-710.

    jaxvision train --config videomae/vit_g_k710_to_k400_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 32 x 3 clips. Starts from vit_g_hybrid_pt_1200e_k710_ft.pth.
Published: 88.4 % top-1, 98.0 % top-5 (16x5x3 views).
On one GPU: videomae/vit_g_k710_to_k400_finetune:gpus=1, 3 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=32).gpus
    return finetuning(
        "g",
        "k400",
        gpus=gpus,
        clips=3,
        learning_rate=1e-5,
        epochs=3,
        layer_decay=0.9,
        drop_path=0.25,
        weight_decay=0.1,
        warmup_epochs=1,
        start="k710",
        weights="vit_g_hybrid_pt_1200e_k710_ft.pth",
    )
