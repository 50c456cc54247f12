"""VideoMAE V2, ViT-B: Kinetics-400.

    jaxvision train --config videomae/vit_b_k400_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 32 x 16 clips. Starts from vit_b_hybrid_pt_800e.pth.
Published: not published for this chain (distilled and tuned further: 87.1 % top-1).
On one GPU: videomae/vit_b_k400_finetune:gpus=1, 16 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=32).gpus
    return finetuning(
        "b",
        "k400",
        gpus=gpus,
        clips=16,
        learning_rate=7e-4,
        epochs=90,
        layer_decay=0.75,
        drop_path=0.1,
        weights="vit_b_hybrid_pt_800e.pth",
    )
